"""The message vectors of hardware.md 8.3, read from the reference text and checked against their digests."""

import functools
import hashlib
import re
from pathlib import Path

REFERENCE = Path(__file__).parents[2] / "docs" / "reference" / "hardware.md"

_HEADING = re.compile(
    r"\*\*(MV-\d+) [^\n]*?(\d+) \(0x[0-9a-f]+\) bytes, SHA-256 `([0-9a-f]{16})…`\n\n```\n(.*?)```", re.DOTALL
)
_PIECE = re.compile(r"\[([0-9a-f]{2})\*(\d+)\]|([0-9a-f]+)")


def expand(notation: str) -> bytes:
    """Bytes of the hexadecimal notation in which ``[bb*n]`` stands for n times byte bb."""
    digits = "".join(byte * int(count) if byte else plain for byte, count, plain in _PIECE.findall(notation))
    return bytes.fromhex(digits)


@functools.cache
def vectors() -> dict[str, bytes]:
    """All message vectors by their ID."""
    found = {}
    for name, length, digest, notation in _HEADING.findall(REFERENCE.read_text()):
        message = expand(notation)
        assert len(message) == int(length), name
        assert hashlib.sha256(message).hexdigest().startswith(digest), name
        found[name] = message
    return found
