"""The return values of EP11 that this card gives: those of PKCS #11 and IBM's own."""

from __future__ import annotations

from enum import IntEnum

from apmatrix.cards.errors import CardError


class ReturnValue(IntEnum):
    """The third string of a reply."""

    OK = 0x00000000
    ARGUMENTS_BAD = 0x00000007
    DATA_LENGTH_RANGE = 0x00000021
    ENCRYPTED_DATA_INVALID = 0x00000040
    FUNCTION_NOT_SUPPORTED = 0x00000054
    KEY_HANDLE_INVALID = 0x00000060
    KEY_SIZE_RANGE = 0x00000062
    KEY_UNEXTRACTABLE = 0x0000006A
    MECHANISM_INVALID = 0x00000070
    TEMPLATE_INCONSISTENT = 0x000000D1
    WRAPPED_KEY_INVALID = 0x00000110
    WRONG_WRAPPING_KEY = 0x80010001
    INTERNAL_ERROR = 0x80010002
    WRONG_STATE = 0x80010014
    NO_WRAPPING_KEY = 0x80010015


class Ep11Error(CardError):
    """A function refuses its arguments; the text holds no data of the request."""

    def __init__(self, value: ReturnValue) -> None:
        super().__init__(f"EP11 return value {value:08x} ({value.name})")
        self.value = value
