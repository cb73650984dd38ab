"""Tokens of elliptic-curve keys as libica builds them (hardware.md 4.6)."""

from __future__ import annotations

from support.cca import short


def private_section(curve_type: int, bits: int, key: bytes) -> bytes:
    """A private key in the clear."""
    section = bytearray(76)
    section[0] = 0x20
    section[2:4] = short(76 + 16 + len(key))
    section[8] = 0xC0
    section[9] = curve_type
    section[10] = 0x40
    section[12:14] = short(bits)
    section[14:16] = section[72:74] = short(16)
    section[74:76] = short(len(key))
    associated = bytearray(16)
    associated[2:4] = short(16)
    associated[7] = curve_type
    associated[8:10] = short(bits)
    associated[10:12] = b"\xc0\x40"
    return bytes(section + associated) + key


def public_section(curve_type: int, bits: int, point: bytes) -> bytes:
    """A point, 04 and both coordinates."""
    section = bytearray(14)
    section[0] = 0x21
    section[2:4] = short(14 + len(point))
    section[8] = curve_type
    section[10:12] = short(bits)
    section[12:14] = short(len(point))
    return bytes(section) + point


def token(*sections: bytes) -> bytes:
    """An external token."""
    body = b"".join(sections)
    return b"\x1e\0" + short(8 + len(body)) + bytes(4) + body
