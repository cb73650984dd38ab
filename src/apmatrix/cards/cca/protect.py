"""US and AU: re-wrap secure keys as protected keys for CPACF (hardware.md 4.4)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from apmatrix.arch import KeySet, Layout, constant, octets, text
from apmatrix.cards.cca.blocks import Part
from apmatrix.cards.cca.curves import Curve, read_private_value
from apmatrix.cards.cca.errors import CcaError, Reason
from apmatrix.cards.cca.sections import is_internal
from apmatrix.cards.cca.tokens import open_cipher, open_data
from apmatrix.cards.cca.verb import Result, VerbCall

if TYPE_CHECKING:
    from collections.abc import Mapping

    from apmatrix.cards.cca.verb import Verbs

_COMPLETE: Final = 3
_PROTECTED_SIZES: Final[Mapping[Curve, int]] = {Curve(0, 256): 32, Curve(0, 384): 48, Curve(0, 521): 80}


class ProtectedKeyHeader(Layout, size=10):
    """The header from which Linux reads a protected elliptic-curve key; the key follows."""

    version = constant(octets(0, 1), 2)
    algorithm = constant(octets(3, 1), 0x81)
    length = octets(8, 2)


class ProtectedKeyBlock(Layout, size=142):
    """The block from which Linux reads a protected AES key."""

    version = constant(octets(0, 1), 1)
    algorithm = constant(octets(3, 1), 2)
    length = octets(8, 2)
    key = text(10, 64)
    attributes_length = octets(74, 2)
    pattern_type = constant(octets(109, 1), 1)
    pattern = text(110, 32)


def unwrap_data(call: VerbCall) -> Result:
    """Turn a DATA key into a protected key (US)."""
    call.require()
    return _protected(call, open_data(call.key_parts(1)[0].content, call.registers(KeySet.AES)))


def unwrap_cipher(call: VerbCall) -> Result:
    """Turn a CIPHER or elliptic-curve key into a protected key, if it is marked exportable and complete (AU)."""
    call.require(b"EXPT-SK")
    token = call.key_parts(1)[0].content
    if is_internal(token):
        return _protected_curve(call, token)
    header, key = open_cipher(token, call.registers(KeySet.AES))
    if not header.exportable or header.completeness != _COMPLETE:
        raise CcaError(Reason.KEY_NOT_EXPORTABLE)
    return _protected(call, key)


def _protected_curve(call: VerbCall, token: bytes) -> Result:
    curve, key, exportable = read_private_value(token, call.registers(KeySet.APKA))
    if not exportable or curve not in _PROTECTED_SIZES:
        raise CcaError(Reason.KEY_NOT_EXPORTABLE)
    protected = call.card.wrapping_key.wrap(key.rjust(_PROTECTED_SIZES[curve], b"\0"))
    header = ProtectedKeyHeader(length=len(protected))
    return Result(vud=Part(0, bytes(header) + protected).build())


def _protected(call: VerbCall, key: bytes) -> Result:
    wrapping_key = call.card.wrapping_key
    protected = wrapping_key.wrap(key)
    block = ProtectedKeyBlock(
        length=len(protected),
        key=protected,
        pattern=wrapping_key.pattern,
    )
    return Result(vud=Part(0, bytes(block)).build())


VERBS: Final[Verbs] = {b"US": unwrap_data, b"AU": unwrap_cipher}
