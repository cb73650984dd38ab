"""Return values of EP11: those of PKCS #11, as far as this card gives them."""

from __future__ import annotations

from enum import IntEnum

from apmatrix.cards.errors import CardError


class ReturnValue(IntEnum):
    """The third string of a reply."""

    OK = 0x00
    ARGUMENTS_BAD = 0x07
    FUNCTION_NOT_SUPPORTED = 0x54


class Ep11Error(CardError):
    """A function refuses its arguments; the text holds no data of the request."""

    def __init__(self, value: ReturnValue) -> None:
        super().__init__(f"EP11 return value {value:08x} ({value.name})")
        self.value = value
