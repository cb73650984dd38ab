"""Levels: the configurations that AP instructions are executed under.

An LPAR is level 1, its KVM guest level 2, the guest's guest level 3. Each has a control block with masks of its own;
what counts is the AND of all the masks from the LPAR down (KVM-40): no level can widen what the one above gave.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from apmatrix.arch import EMPTY_MATRIX, NO_BITS, ControlBlock, CrycbFormat, Facility, Matrix, ResponseCode
from apmatrix.arch.mask import BITS
from apmatrix.machine.errors import ValidityInterception

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from apmatrix.arch import Apqn, ConditionCode, Instruction, Registers
    from apmatrix.machine.memory import Memory

PAGE = 4096

_NORMAL: Final = ResponseCode.NORMAL  # a name of the module is read faster than a member of an enumeration
_NOT_AVAILABLE: Final = ResponseCode.NOT_AVAILABLE


class Hypervisor(Protocol):
    """Handles the AP instructions of a level that the machine does not interpret itself."""

    def intercept(
        self, level: Level, instruction: Instruction, registers: Registers, memory: Memory
    ) -> ConditionCode:
        """Finish an intercepted instruction; raises ProgramCheck for the guest, Intercepted if unhandled."""
        ...


class Level:
    """One configuration: an LPAR, or a guest at any depth.

    ``interpret`` is the control block's APIE switch: without it every AP instruction of the level is intercepted.
    ``interrupt`` is called with the ISC when an adapter interruption becomes pending for the level,
    ``configuration_changed`` when a channel report or machine event says that its AP configuration has changed.
    ``configured_off`` are the adapters that SCLP configured off for this LPAR. ``matrix_changed`` is called with the
    level when its masks have changed; levels below inherit it.
    The masks may be changed at any time; the next instruction sees them.
    """

    def __init__(
        self,
        name: str,
        parent: Level | None = None,
        form: CrycbFormat = CrycbFormat.FORMAT_2,
        facilities: Iterable[int] | None = None,
    ) -> None:
        self.name = name
        self.parent = parent
        self.form = form
        inherited: frozenset[int] = parent.facilities if parent else frozenset(Facility)
        self.facilities: frozenset[int] = inherited if facilities is None else inherited & frozenset(facilities)
        self.interpret = True
        self.hypervisor: Hypervisor | None = None
        self.interrupt: Callable[[int], None] | None = None
        self.configuration_changed: Callable[[], None] | None = None
        self.children: list[Level] = []
        self.configured_off = NO_BITS
        self.matrix_changed: Callable[[Level], None] | None = parent.matrix_changed if parent else None
        self._block = ControlBlock()
        self._matrix = EMPTY_MATRIX
        if parent:
            parent.children.append(self)

    @property
    def depth(self) -> int:
        """1 for an LPAR, 2 for its guests, 3 for theirs."""
        return 1 if self.parent is None else self.parent.depth + 1

    @property
    def path(self) -> str:
        """The names of the levels from the LPAR down to this one, as ``kvm1/guest1``."""
        return self.name if self.parent is None else f"{self.parent.path}/{self.name}"

    @property
    def block(self) -> ControlBlock:
        """The level's own control block."""
        return self._block

    @property
    def matrix(self) -> Matrix:
        """The masks in the level's own control block, as far as its format shows them."""
        return self._matrix

    def set_matrix(self, matrix: Matrix) -> None:
        """Write masks into the control block; what the format has no room for is lost (KVM-10)."""
        before = self._matrix
        self._block = ControlBlock.of(self.form, matrix)
        self._matrix = self._block.matrix(self.form)
        if self.matrix_changed is not None and self._matrix != before:
            self.matrix_changed(self)

    @property
    def effective(self) -> Matrix:
        """What the level can use: its own masks AND those of every level above."""
        matrix = self._matrix
        level = self.parent
        while level is not None:
            matrix = matrix & level._matrix
            level = level.parent
        return matrix

    def right_to(self, apqn: Apqn) -> ResponseCode:
        """NORMAL if the level may use a queue now, otherwise the response code that refuses it.

        01 if the queue is not in the effective matrix, 03 if SCLP configured its adapter off for the LPAR.
        """
        adapter, domain = BITS.get(apqn.adapter, 0), BITS.get(apqn.domain, 0)
        level: Level | None = self
        while level is not None:  # every instruction asks: testing two bits is faster than building a matrix
            matrix = level._matrix
            if not (matrix.apm.value & adapter and matrix.aqm.value & domain):
                return _NOT_AVAILABLE
            lpar, level = level, level.parent
        return ResponseCode.DECONFIGURED if lpar.configured_off.value & adapter else _NORMAL

    def report_change(self) -> None:
        """Notify the level's program, if it listens, that its AP configuration has changed (BUS-70)."""
        if self.configuration_changed is not None:
            self.configuration_changed()

    @property
    def interpreted(self) -> bool:
        """True if the machine itself executes the level's AP instructions: APIE at every level (KVM-41)."""
        level: Level | None = self
        while level is not None:
            if not level.interpret:
                return False
            level = level.parent
        return True

    def child(
        self, name: str, form: CrycbFormat = CrycbFormat.FORMAT_2, facilities: Iterable[int] | None = None
    ) -> Level:
        """A new level below this one, with empty masks."""
        return Level(name, self, form, facilities)

    def close(self) -> None:
        """End the level and all below it: their masks become empty and they leave the tree."""
        for child in tuple(self.children):
            child.close()
        self.set_matrix(EMPTY_MATRIX)
        if self.parent and self in self.parent.children:
            self.parent.children.remove(self)

    def __repr__(self) -> str:
        return f"Level({self.name!r}, depth {self.depth}, {self.effective.describe()})"


def check_entry(outer: CrycbFormat, origin: int, format_bits: int) -> CrycbFormat:
    """The checks at the entry of a nested guest (KVM-42, KVM-43); the guest's format if they pass.

    ``outer`` is the format of the guest hypervisor's own control block, ``origin`` and ``format_bits`` come from
    the nested guest's CRYCB designation. Raises ValidityInterception 0039 (no address), 003C (the block
    crosses a page) or 0022 (the formats do not go together).
    """
    if origin == 0:
        raise ValidityInterception(0x0039, "the control block has no address")
    if format_bits not in tuple(CrycbFormat):
        raise ValidityInterception(0x0022, f"format bits {format_bits:02b} are not defined")
    form = CrycbFormat(format_bits)
    if origin // PAGE != (origin + form.size) // PAGE:
        raise ValidityInterception(0x003C, f"{form.size} bytes at {origin:#x} reach the end of their page")
    allowed = {
        CrycbFormat.FORMAT_2: {CrycbFormat.FORMAT_2},
        CrycbFormat.FORMAT_1: {CrycbFormat.FORMAT_1, CrycbFormat.FORMAT_2},
        CrycbFormat.FORMAT_0: set(CrycbFormat),
    }[form]
    if outer not in allowed:
        raise ValidityInterception(0x0022, f"{form.name} cannot run on a control block of {outer.name}")
    return form


def shadow(outer: Level, origin: int, format_bits: int, inner: ControlBlock) -> ControlBlock:
    """The control block that the machine really uses for a nested guest: always format 2 (KVM-43).

    ``inner`` is what the guest hypervisor wrote at ``origin`` of its storage. Raises ValidityInterception.
    """
    form = check_entry(outer.form, origin, format_bits)
    return ControlBlock.of(CrycbFormat.FORMAT_2, inner.matrix(form) & outer.effective)
