"""PG: key pairs, in the clear or under the master key of their kind (hardware.md 4.6 and 6.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from apmatrix.arch import KeySet
from apmatrix.cards.cca import ecc, rsa
from apmatrix.cards.cca.blocks import Part
from apmatrix.cards.cca.curves import PRIVATE
from apmatrix.cards.cca.errors import CcaError, Reason
from apmatrix.cards.cca.sections import parse_sections
from apmatrix.cards.cca.tokens import current_key
from apmatrix.cards.cca.verb import Result, VerbCall

if TYPE_CHECKING:
    from apmatrix.cards.cca.verb import Verbs

_TOKEN_FLAGS: Final = 0x0020


def generate(call: VerbCall) -> Result:
    """A random key pair as the skeleton describes it: CLEAR, or with MASTER under APKA (curves) or ASYM (RSA)."""
    skeleton = call.key_parts(1)[0].content
    if call.parameters.rules not in ((b"CLEAR",), (b"MASTER",)):
        raise CcaError(Reason.BAD_RULE)
    kind, key_set = (ecc, KeySet.APKA) if PRIVATE in parse_sections(skeleton) else (rsa, KeySet.ASYM)
    master = current_key(call.registers(key_set)) if call.parameters.rules == (b"MASTER",) else None
    return Result(keys=Part(_TOKEN_FLAGS, kind.generate(skeleton, master)).build())


VERBS: Final[Verbs] = {b"PG": generate}
