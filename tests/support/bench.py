"""Machine M of hardware.md 8.1, with queues that can be brought into any state."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from apmatrix.arch import Apqn, CardFunctions, CardType, Facility, Instruction, Mask, Matrix, Opcode, Registers
from apmatrix.cards import AdapterState, Firmware, ManualClock, QueueFunction, Request, ScriptedAnswers
from apmatrix.machine import ActivationProfile, Cpc, FlatMemory, execute
from support.queues import Bell, Stepper

if TYPE_CHECKING:
    from collections.abc import Iterable

    from apmatrix.arch import ConditionCode, ResponseCode
    from apmatrix.cards import Adapter, Queue
    from apmatrix.machine import Level, Memory

MATRIX_OF_M = Matrix(Mask.of(2, 5, 10), Mask.of(6, 0x33), Mask.of(6, 0x33, 0x40))
CARDS_OF_M = {2: "CEX7A", 5: "CEX8C", 10: "CEX8P"}
FUNCTIONS_OF_M = {2: CardFunctions(0x6A800000), 5: CardFunctions(0x93800000), 10: CardFunctions(0x86800000)}
FACILITIES_OF_M = (Facility.QCI, Facility.APFT, Facility.AQIC, Facility.MSA3)
POLLED = tuple(facility for facility in FACILITIES_OF_M if facility is not Facility.AQIC)
QUEUE = Apqn(5, 6)
REPLY = bytes(range(256)) + bytes(36)  # as long as MV-6
STORAGE = 0x0200_0000
POISON = [0xB0B0_0000_5EED_0000 + number for number in range(16)]


class Prepared(Firmware):
    """Firmware that answers with prepared replies, one after another, then always with ``REPLY``."""

    def __init__(self) -> None:
        self.replies: list[bytes] = []

    def process(self, domain: int, request: Request) -> bytes:
        return self.replies.pop(0) if self.replies else REPLY


class Bench:
    """Machine M and a program on its LPAR."""

    def __init__(
        self, facilities: Iterable[int] = FACILITIES_OF_M, features: Iterable[str] = ("APSC", "APXA")
    ) -> None:
        self.clock = ManualClock()
        self.machine = Cpc(
            "M", clock=self.clock, facilities=facilities, features=features, max_adapter=63, max_domain=84
        )
        self.steps = Stepper()
        self.echo = Prepared()
        self.firmware: dict[int, Firmware] = {}
        for number, kind in CARDS_OF_M.items():
            self.plug(number, kind, functions=FUNCTIONS_OF_M[number], message_limit=3)
        self.level: Level = self.machine.add_lpar(ActivationProfile("lpar", MATRIX_OF_M)).level
        self.memory: Memory = FlatMemory(STORAGE)
        self.interruptions: list[int] = []
        self.level.interrupt = self.interruptions.append
        self.registers = Registers()

    def plug(self, number: int, kind: str, **options: Any) -> Adapter:
        """Add an adapter whose card is under control of the test; its own firmware is kept in ``firmware``."""
        adapter = self.machine.add_adapter(number, CardType.parse(kind), **options)
        self.firmware[number] = adapter.firmware
        adapter.workers = self.steps
        adapter.firmware = self.echo
        return adapter

    def close(self) -> None:
        self.machine.close()

    # states

    @property
    def adapter(self) -> Adapter:
        return self.machine.adapters[QUEUE.adapter]

    @property
    def queue(self) -> Queue:
        return self.adapter.queue(QUEUE.domain)

    def configure_off(self) -> None:
        self.machine.set_adapter_state(QUEUE.adapter, AdapterState.DECONFIGURED)

    def checkstop(self) -> None:
        self.machine.set_adapter_state(QUEUE.adapter, AdapterState.CHECKSTOPPED)

    def run_reset(self) -> None:
        """Begin a reset that does not end by itself."""
        self.adapter.reset_duration = 3600.0
        assert self.queue.reset(zeroize=False).ok

    def answer(self, function: QueueFunction, code: ResponseCode) -> None:
        """Have the next execution of a function answered with ``code``."""
        self.adapter.filters.add(ScriptedAnswers(function, [code]))

    def enable(self) -> None:
        """Switch interruptions on."""
        assert self.queue.set_interruption(Bell()).ok

    def load(self, in_process: int, replies: int = 0) -> None:
        """Bring the queue into the state ``in_process``/``replies``."""
        for number in range(in_process + replies):
            assert self.queue.enqueue(Request(0x539_0000_0001 + number, b"request")).ok
        for _ in range(replies):
            self.steps.finish()

    # instructions

    def set(self, **registers: int) -> Registers:
        """Fresh registers: those named, for example ``gr0=0x506``, the others full of rubbish."""
        self.registers = Registers([registers.get(f"gr{number}", rubbish) for number, rubbish in enumerate(POISON)])
        return self.registers

    def execute(self, opcode: Opcode, level: Level | None = None, r1: int = 4, r2: int = 6) -> ConditionCode:
        """Execute an instruction with the registers that were set."""
        pqap = opcode is Opcode.PQAP
        instruction = Instruction(opcode) if pqap else Instruction(opcode, r1, r2)
        return execute(self.machine, level or self.level, instruction, self.registers, self.memory)
