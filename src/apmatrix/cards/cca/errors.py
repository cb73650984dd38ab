"""Return and reason codes of CCA, as far as this card gives them.

The codes for bad RSA input are among those that Linux takes as the user's fault; any other would set the
queue offline (hardware.md 3.7).
"""

from __future__ import annotations

from enum import Enum

from apmatrix.cards.errors import CardError


class Reason(Enum):
    """Pairs of return code and reason code."""

    BAD_TOKEN = (8, 65)
    BAD_DATA = (8, 66)
    BAD_LENGTH = (8, 72)
    UNKNOWN_FUNCTION = (8, 32)
    BAD_RULE = (8, 33)


class CcaError(CardError):
    """A verb refuses its input; the reply carries the codes. The text holds no data of the request."""

    def __init__(self, reason: Reason) -> None:
        super().__init__("CCA return code {} reason code {}".format(*reason.value))
        self.return_code, self.reason_code = reason.value
