"""A native program that uses zcrypt nodes as libica does. Prints a line of JSON for each step."""

import ctypes
import errno
import json
import os
import sys

LIBC = ctypes.CDLL(None, use_errno=True)
MODEXPO, CRT, CPRB, STATUS = 0xC0007A05, 0xC0007A06, 0xC0007A81, 0xC0007A5F
MASK, TOTAL_OPEN, DOMAIN = 0x80007A58 | 256 << 16, 0x80047A46, 0x80047A47

P, Q = 2**521 - 1, 2**607 - 1
EXPONENT = 65537
MODULUS = P * Q
LENGTH = 256


class ModExpo(ctypes.Structure):
    _fields_ = (
        *(("input", ctypes.c_void_p), ("input_length", ctypes.c_uint32)),
        *(("output", ctypes.c_void_p), ("output_length", ctypes.c_uint32)),
        *(("exponent", ctypes.c_void_p), ("modulus", ctypes.c_void_p)),
    )


def operand(number):
    return ctypes.create_string_buffer(number.to_bytes(LENGTH, "big"), LENGTH)


def call(file, number, address):
    """0 or the errno's name."""
    result = LIBC.ioctl(file, ctypes.c_ulong(number), ctypes.c_void_p(address))
    return result if result >= 0 else errno.errorcode[ctypes.get_errno()]


def modexpo(file, value, **changes):
    """The result of an ICARSAMODEXPO, or the errno's name."""
    buffers = {
        "input": operand(value),
        "output": operand(0),
        "exponent": operand(EXPONENT),
        "modulus": operand(MODULUS),
    }
    block = ModExpo(input_length=LENGTH, output_length=LENGTH)
    for name, buffer in buffers.items():
        setattr(block, name, ctypes.addressof(buffer))
    for name, content in changes.items():
        setattr(block, name, content)
    result = call(file, MODEXPO, ctypes.addressof(block))
    return result or int.from_bytes(buffers["output"].raw, "big") == pow(value, EXPONENT, MODULUS)


def main(name, *steps):
    file = os.open(f"/dev/{name}", os.O_RDWR)
    number = ctypes.c_int(-7)
    mask = ctypes.create_string_buffer(256)
    known = {
        "right": lambda: modexpo(file, 0x1234567890ABCDEF),
        "many": lambda: all(modexpo(file, value) is True for value in range(2, 40)),
        "no room": lambda: modexpo(file, 5, output_length=LENGTH - 1),
        "bad input": lambda: modexpo(file, 5, input=0x10),
        "bad output": lambda: modexpo(file, 5, output=0x10),
        "bad block": lambda: call(file, MODEXPO, 0x10),
        "bad cprb": lambda: call(file, CPRB, 0),
        "unknown": lambda: call(file, 0xC0007A77, 0),
        "other magic": lambda: call(file, 0x5401, 0),
        "domain": lambda: [call(file, DOMAIN, ctypes.addressof(number)), number.value],
        "opens": lambda: [call(file, TOTAL_OPEN, ctypes.addressof(number)), number.value],
        "mask": lambda: [call(file, MASK, ctypes.addressof(mask)), [n for n, kind in enumerate(mask.raw) if kind]],
        "mask nowhere": lambda: call(file, MASK, 8),
    }
    for step in steps:
        print(json.dumps(known[step]()), flush=True)


main(*sys.argv[1:])
