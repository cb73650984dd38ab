"""The return and reason codes of CCA that this card gives.

The codes for bad RSA input are among those that Linux treats as the user's fault; any other would set the
queue offline (hardware.md 3.7).
"""

from __future__ import annotations

from enum import Enum

from apmatrix.cards.errors import CardError


class Reason(Enum):
    """Pairs of return code and reason code."""

    BAD_SIGNATURE = (4, 429)
    UNKNOWN_FUNCTION = (8, 32)
    BAD_RULE = (8, 33)
    KEY_TYPE = (8, 39)
    MASTER_KEY_MISMATCH = (8, 48)
    BAD_TOKEN = (8, 65)
    BAD_DATA = (8, 66)
    BAD_LENGTH = (8, 72)
    ACCESS_DENIED = (8, 90)
    MASTER_KEY_STATE = (8, 703)
    KEY_NOT_EXPORTABLE = (8, 2143)
    NO_MASTER_KEY = (12, 764)
    KEYS_NOT_KEPT = (16, 336)


class CcaError(CardError):
    """A verb refuses its input; the reply carries the codes. The text holds no data of the request."""

    def __init__(self, reason: Reason) -> None:
        super().__init__("CCA return code {} reason code {}".format(*reason.value))
        self.return_code, self.reason_code = reason.value
