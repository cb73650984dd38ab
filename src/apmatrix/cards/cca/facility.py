"""FQ: the facility query, from which Linux takes serial number and verification patterns (hardware.md 4.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from apmatrix.arch import KeySet
from apmatrix.cards.cca.errors import CcaError, Reason
from apmatrix.cards.cca.verb import Result, VerbCall
from apmatrix.cards.masterkeys import KeyRegisters, MasterKey, NewState

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from apmatrix.cards.cca.verb import Verbs

_INVALID: Final = b"1"
_VALID: Final = b"2"
_NEW_STATES: Final = {NewState.EMPTY: b"1", NewState.PARTIAL: b"2", NewState.FULL: b"3"}


class _Place(NamedTuple):
    """Where an answer shows a key set: first rule element, and data offsets of the three patterns."""

    key_set: KeySet
    element: int
    old: int
    current: int
    new: int


class _Static(NamedTuple):
    """The shape of an answer: elements of the rule array and bytes of data."""

    elements: int
    size: int
    places: tuple[_Place, ...]


_STATICSA: Final = _Static(10, 204, (_Place(KeySet.ASYM, 4, 64, 84, 104), _Place(KeySet.AES, 7, 172, 184, 196)))
_STATICSB: Final = _Static(13, 240, (_Place(KeySet.APKA, 10, 208, 220, 232),))


def states(registers: KeyRegisters) -> tuple[bytes, bytes, bytes]:
    """The state characters of the new, the current and the old register."""
    return (
        _NEW_STATES[registers.new_state],
        _INVALID if registers.current is None else _VALID,
        _INVALID if registers.old is None else _VALID,
    )


def shown_new(registers: KeyRegisters) -> MasterKey | None:
    """The new key if its pattern may be shown: only when the register is full."""
    return registers.new if registers.new_state is NewState.FULL else None


def _static(call: VerbCall, shape: _Static) -> Result:
    elements = [call.card.serial.encode().ljust(8)[:8]] + [_INVALID] * (shape.elements - 1)
    data = bytearray(shape.size)
    for place in shape.places:
        registers = call.registers(place.key_set)
        elements[place.element : place.element + 3] = states(registers)
        for offset, key in (
            (place.old, registers.old),
            (place.current, registers.current),
            (place.new, shown_new(registers)),
        ):
            if key is not None:
                data[offset : offset + len(key.pattern)] = key.pattern
    return Result(tuple(elements), bytes(data))


def _cca(call: VerbCall) -> Result:
    """STATCCA: states of the symmetric keys (none here) and the firmware's version, date and role."""
    version = "{}.{}".format(*call.card.firmware_version).encode()
    date = call.card.calendar().strftime("%Y%m%d").encode()
    return Result((_INVALID, _INVALID, _INVALID, version, date, b"DEFAULT"))


def _card(call: VerbCall) -> Result:
    """STATCRD2: facts about the hardware; the last element is the serial number."""
    return Result((b"0",) * 14 + (call.card.serial.encode(),))


_ANSWERS: Final[Mapping[bytes, Callable[[VerbCall], Result]]] = {
    b"STATICSA": lambda call: _static(call, _STATICSA),
    b"STATICSB": lambda call: _static(call, _STATICSB),
    b"STATCCA": _cca,
    b"STATCRD2": _card,
}


def query(call: VerbCall) -> Result:
    """Answer the query that the keyword in the rule array names."""
    answer = _ANSWERS.get(b" ".join(call.parameters.rules))
    if answer is None:
        raise CcaError(Reason.BAD_RULE)
    return answer(call)


VERBS: Final[Verbs] = {b"FQ": query}
