"""A stand-alone program for QEMU, as a flat image and as an ELF program."""

import struct

START = 0x10000
PROGRAM = bytes.fromhex(
    "c01000000050d20f01d01000a7790001c04000000058a7090001b2b0400091084001a7e40033a7790002a7090504b2af0000b2220020"
    "8820001c1222a7740026a779000388100018a71e0080a774001ea7790004a7380000b2ad0013a73e0006a7740014a7790005a7380000"
    "00000000a73e0001a774000ab212020048200200ae020005a7f4fffec01000000014e37010080024b2b210004830008eb2b20150"
    "000000018000000000000000000100980002000180000000000000000000000000000000000000000000000000000000"
)
"""Assembled from tests/data/standalone.s."""

STFLE_AT = START + 0x1A


def flat(program: bytes = PROGRAM) -> bytes:
    """The image of storage from 0 on: a PSW for the initial program load, and the program at its address."""
    return struct.pack(">II", 0x00080000, 0x80000000 | START).ljust(START, b"\0") + program


def elf(program: bytes = PROGRAM, address: int = START, machine: int = 22) -> bytes:
    """An ELF program with one segment."""
    header = struct.pack(">16sHHIQQQIHHHHHH", b"\x7fELF\2\2\1", 2, machine, 1, address, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    size = len(program)
    segment = struct.pack(">IIQQQQQQ", 1, 7, len(header) + 56, address, address, size, size, 8)
    return header + segment + program
