"""Parts of master keys: how many make a key, and how to tell that one is where a file's name belongs."""

from __future__ import annotations

import re
from typing import Final

from apmatrix.arch import KeySet

_DIGITS: Final = re.compile(r"(0x)?[0-9a-f]{32,}")
_BASE64: Final = re.compile(r"[A-Za-z0-9+/_-]{30,}={1,2}")
_BETWEEN_DIGITS: Final = re.compile(r"[\s:_-]|(?<!^)0x|,")


def looks_like_a_key(text: str) -> bool:
    """True for hexadecimal digits and base 64 of 16 bytes or more: a message must not repeat them."""
    stripped = text.strip()
    return bool(_DIGITS.fullmatch(_BETWEEN_DIGITS.sub("", stripped.lower())) or _BASE64.fullmatch(stripped))


def wrong_count(key_set: KeySet, count: int) -> str:
    """Why ``count`` parts do not make a key of ``key_set``; empty if they do (hardware.md 6.2)."""
    if key_set is KeySet.WK and count != 1:
        return f"a wrapping key of EP11 is loaded in one piece, not in {count}"
    if key_set is not KeySet.WK and count < 2:
        return f"a master key of CCA has two parts or more, not {count}"
    return ""
