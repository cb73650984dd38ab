"""Executes the AP instructions of a stand-alone program in QEMU: a test kernel, for example.

Of such a program nothing is known but the architecture, and that is enough. Its program-check new PSW says where its
handler of program interruptions is: a breakpoint there stops the processor for each. If it was an operation exception
and the instruction is one of AP, the machine executes it, and the program goes on after it; or the handler gets to
see the interruption code that the instruction has.

Where the program asks for the facilities, by STFL or STFLE, those of AP are added to QEMU's answer.
"""

from __future__ import annotations

import struct
import threading
from typing import TYPE_CHECKING

from apmatrix.arch import Interruption, Layout, Mask, bits
from apmatrix.faces.boot.bridge import NEW_PSW, POLL_SECONDS, STOP_SECONDS, End, Way
from apmatrix.faces.boot.frame import INSTRUCTION_LENGTH, SIZE, Frame, Psw
from apmatrix.faces.boot.service import Done
from apmatrix.faces.boot.storage import AddressSpace, Asce
from apmatrix.faces.gdb import Break

if TYPE_CHECKING:
    from apmatrix.faces.boot.image import StandAloneImage
    from apmatrix.faces.boot.service import Outcome, Server
    from apmatrix.faces.boot.storage import Storage
    from apmatrix.faces.gdb import GdbClient, Stop

INTERRUPTION_CODE, OLD_PSW, STFL_LIST = 0x8E, 0x150, 0xC8
"""Real addresses: the code of a program interruption, the program-check old PSW, the list that STFL stores.

The debugger stub applies the prefix of the stopped processor."""

SAVE_AREA = 0x1200
"""Absolute address of storage that the architecture keeps for a processor's registers. While an instruction is
executed they are there; then what was there before is."""

STFL, STFLE = b"\xb2\xb1", b"\xb2\xb0"
STFL_LENGTH, FACILITY_LIST = 4, 32
"""Bytes that STFL stores, and bytes of a facility list that may have facilities of AP."""

_CODE = struct.Struct(">H")
_REAL = Asce(real_space=True).value
_CONTROL_REGISTERS = ("cr1", "cr1", "cr7", "cr13")  # of the address spaces that a PSW can select


class StorageInstruction(Layout, width=32):
    """An instruction of format S, whose operand is in storage."""

    base = bits(16, 19)
    displacement = bits(20, 31)


class StandAloneBridge:
    """One stand-alone program in QEMU whose AP instructions ``service`` executes. Used as a Bridge is."""

    loading, starting = "the program is loaded", "the program starts"
    way = Way.BREAKPOINT
    reason = "a stand-alone program is not touched"

    def __init__(
        self,
        client: GdbClient,
        storage: Storage,
        service: Server,
        image: StandAloneImage,
        facilities: frozenset[int],
    ) -> None:
        self._client = client
        self._storage = storage
        self._service = service
        self._facilities = Mask.of(*facilities)
        self._asking = frozenset((*image.places(STFL), *image.places(STFLE)))
        self._breaks: frozenset[int] = frozenset()
        self._start = self._handler = 0
        self._stopping = threading.Event()

    def stop(self) -> None:
        """Let :meth:`run` return soon."""
        self._stopping.set()

    def attach(self, timeout: float) -> None:  # noqa: ARG002 - there is nothing to wait for
        """Set watchpoint and breakpoints in a guest that is stopped at its first instruction. Raises GdbError."""
        self._start = self._client.read_register("pswa")
        self._client.insert(Break.WRITE, NEW_PSW + 8, 8)
        self._stop_at(self._asking)

    def run(self) -> End:
        """Let the program run until it restarts, ends, or :meth:`stop` is called. Raises GdbError if QEMU is gone."""
        self._client.resume()
        while not self._stopping.is_set():
            if (stop := self._client.wait(POLL_SECONDS)) is None:
                continue
            if stop.ended:
                return End.ENDED
            self._client.select(stop.thread)
            address = self._client.read_register("pswa")
            if stop.watched is not None:
                self._handler = int.from_bytes(self._client.read_memory(NEW_PSW + 8, 8), "big")
                self._stop_at(self._asking | {self._start, self._handler})
            elif address == self._start:
                self._client.remove(Break.WRITE, NEW_PSW + 8, 8)
                self._stop_at(frozenset())
                return End.RESTARTED
            elif address == self._handler:
                self._at_handler(stop)
            else:
                self._add_facilities(stop, address)
            self._client.resume()
        return End.ASKED

    def _stop_at(self, addresses: frozenset[int]) -> None:
        """Have breakpoints at these addresses and at no others."""
        for address in self._breaks - addresses:
            self._client.remove(Break.SOFTWARE, address)
        for address in addresses - self._breaks:
            self._client.insert(Break.SOFTWARE, address)
        self._breaks = addresses

    def _at_handler(self, stop: Stop) -> None:
        """Handle a program interruption at which the machine stopped."""
        if self._client.read_memory(INTERRUPTION_CODE, _CODE.size) == _CODE.pack(Interruption.OPERATION):
            outcome, frame = self._serve(Psw.parse(self._client.read_memory(OLD_PSW, 16)))
            if isinstance(outcome, Done):
                return self._go_on(frame)
            self._client.write_memory(INTERRUPTION_CODE, _CODE.pack(outcome.code))
        return self._step(stop)

    def _serve(self, psw: Psw) -> tuple[Outcome, Frame]:
        """Let the interrupted instruction be executed; the outcome, and the registers after it."""
        general = [self._client.read_register(f"r{number}") for number in range(16)]
        space = self._space(psw)
        before = space.read(SAVE_AREA, SIZE)
        Frame.write(space, SAVE_AREA, psw, general)
        try:
            outcome = self._service.serve(SAVE_AREA, space.asce.value, space.asce.value)
            return outcome, Frame.read(space, SAVE_AREA)
        finally:
            space.write(SAVE_AREA, before)

    def _space(self, psw: Psw) -> AddressSpace:
        """The address space of a program."""
        register = _CONTROL_REGISTERS[psw.address_space]
        return AddressSpace(self._storage, self._client.read_register(register) if psw.dat else _REAL)

    def _go_on(self, frame: Frame) -> None:
        """Return to the program after the instruction."""
        for number, value in enumerate(frame.registers.gr):
            self._client.write_register(f"r{number}", value)
        self._client.write_register("pswm", int.from_bytes(bytes(frame.psw)[:8], "big"))
        self._client.write_register("pswa", frame.psw.address)

    def _step(self, stop: Stop) -> None:
        """Execute the instruction at a breakpoint."""
        self._client.step(stop.thread)
        self._client.wait(STOP_SECONDS)

    def _add_facilities(self, stop: Stop, address: int) -> None:
        """Let STFL or STFLE store QEMU's facilities, and add those of AP."""
        instruction = StorageInstruction.parse(self._client.read_memory(address, INSTRUCTION_LENGTH))
        asked = self._client.read_register("r0") & 0xFF
        base = self._client.read_register(f"r{instruction.base}") if instruction.base else 0
        target = base + instruction.displacement
        self._step(stop)
        if self._client.read_register("pswa") != address + INSTRUCTION_LENGTH:
            return  # it was interrupted
        if bytes(instruction).startswith(STFL):
            target, length = STFL_LIST, STFL_LENGTH
        else:
            length = min((min(asked, self._client.read_register("r0") & 0xFF) + 1) * 8, FACILITY_LIST)
        stored = Mask.from_bytes(self._client.read_memory(target, length).ljust(FACILITY_LIST, b"\0"))
        self._client.write_memory(target, (stored | self._facilities).to_bytes()[:length])
