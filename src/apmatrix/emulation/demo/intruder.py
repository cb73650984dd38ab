"""Part three: a guest with a compromised kernel tries to reach what is not its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from apmatrix.arch import (
    FULL_MATRIX,
    Apqn,
    FunctionCode,
    Instruction,
    Mode,
    Opcode,
    ProgramCheck,
    QueueStatus,
    Registers,
    ResponseCode,
)
from apmatrix.arch.messages import ReplyCode
from apmatrix.arch.messages.cprb import CCA_MASTER_KEYS, CCA_USAGE
from apmatrix.arch.registers import DqapControl, NqapControl, PqapControl, StatusRegister
from apmatrix.cards.cca.blocks import Parameters
from apmatrix.cards.requests import RequestError, cca_control, cca_message, reply_parts
from apmatrix.config import counted
from apmatrix.emulation import programs
from apmatrix.emulation.programs import Program
from apmatrix.emulation.rsa import Question
from apmatrix.emulation.views import granted
from apmatrix.machine import FlatMemory, execute

if TYPE_CHECKING:
    from collections.abc import Iterator

    from apmatrix.emulation.bringup import Emulation, Guest, System
    from apmatrix.emulation.demo.report import Report
    from apmatrix.emulation.rsa import RsaKey
    from apmatrix.machine import Cpc, Level

STORAGE = 1 << 16
REPLY_ROOM = 3 * 4096
"""Bytes of the longest reply that DQAP asks for: what every card permits (hardware.md 1.6)."""

MANY = 64
"""How many queues of others a guest tries."""


class Cpu:
    """A CPU at a level that executes any AP instruction."""

    def __init__(self, machine: Cpc, level: Level) -> None:
        self.machine = machine
        self.level = level
        self.memory = FlatMemory(STORAGE)

    def run(self, opcode: Opcode, *registers: int, problem_state: bool = False) -> Registers:
        """Execute with GR0, GR1 … as given, R1 = 4 and R2 = 6; returns the registers. Raises ProgramCheck."""
        state = Registers([*registers, *[0] * (16 - len(registers))], problem_state)
        execute(self.machine, self.level, Instruction(opcode, 4, 6), state, self.memory)
        return state

    def pqap(self, function: FunctionCode, apqn: Apqn) -> QueueStatus:
        """Execute a PQAP function on a queue; returns the status."""
        control = PqapControl(function_code=function, adapter=apqn.adapter, domain=apqn.domain)
        return _status(self.run(Opcode.PQAP, control.value))

    def nqap(self, apqn: Apqn, message: bytes) -> QueueStatus:
        """Put a message on a queue; returns the status."""
        self.memory.write(0, message)
        control = NqapControl(last_part=True, adapter=apqn.adapter, domain=apqn.domain)
        return _status(self.run(Opcode.NQAP, control.value, 0, 0, 0, 0, 1, 0, len(message)))

    def dqap(self, apqn: Apqn) -> tuple[QueueStatus, bytes]:
        """Take a reply from a queue; returns the status and the reply."""
        control = DqapControl(any_reply=True, adapter=apqn.adapter, domain=apqn.domain)
        state = self.run(Opcode.DQAP, control.value, 0, 0, 0, 0, 0, 0, REPLY_ROOM)
        return _status(state), self.memory.read(0, REPLY_ROOM - state.gr[7])


def _status(registers: Registers) -> QueueStatus:
    return StatusRegister(registers.gr[1]).status


def intrude(emulation: Emulation, key: RsaKey, report: Report) -> None:
    """Have every guest try what it must not be able to do; check the machine's answers."""
    report.section("An intruder in a guest")
    guests = [guest.system for guest in emulation.guests() if guest.system is not None]
    for guest in emulation.guests():
        if guest.vm is not None:
            _foreign_queues(emulation, guest, guest.vm.level, report)
    if guests:
        _bare_instructions(emulation.machine, guests[0], report)
    for system in guests:
        _foreign_domains(emulation.machine, system, report)
        if system.linux.level.depth > 2:
            _forged_control_block(system, report)
    if guests:
        troubles = [trouble for system in guests for trouble in _troubles(system, key)]
        report.check("all guests' queues compute as before", passed=not troubles)


def _troubles(system: System, key: RsaKey) -> Iterator[str]:
    """Have every queue of a system compute once; returns what goes wrong."""
    program = Program(system)
    for apqn in program.rsa_queues():
        if trouble := program.trouble(apqn, Question.random(key, crt=True)):
            yield trouble


def _foreign_queues(emulation: Emulation, guest: Guest, level: Level, report: Report) -> None:
    """Try every instruction on the queues of the LPAR that are not the guest's, or on a sample of them."""
    cpu = Cpu(emulation.machine, level)
    profile = next(lpar.profile for lpar in emulation.file.lpars if lpar.name == guest.names[0])
    own = granted(emulation, guest)
    foreign = [apqn for apqn in profile.apqns() if apqn not in own]
    tried = foreign[:: len(foreign) // MANY + 1]
    answers = {answer for apqn in tried for answer in _all_functions(cpu, apqn)}
    example = f", such as {tried[-1]}" if tried else ""
    report.check(
        f"{guest.name}: TAPQ, RAPQ, ZAPQ, NQAP and DQAP on {counted(len(tried), 'queue')} of others{example}: "
        f"response code {_codes(answers)}",
        passed=answers <= {ResponseCode.NOT_AVAILABLE},
    )


def _all_functions(cpu: Cpu, apqn: Apqn) -> Iterator[ResponseCode]:
    for function in (FunctionCode.TAPQ, FunctionCode.RAPQ, FunctionCode.ZAPQ):
        yield cpu.pqap(function, apqn).response_code
    yield cpu.nqap(apqn, bytes(400)).response_code
    yield cpu.dqap(apqn)[0].response_code


def _codes(answers: set[ResponseCode]) -> str:
    return ", ".join(code.described for code in sorted(answers)) or "none"


def _bare_instructions(machine: Cpc, system: System, report: Report) -> None:
    """Try instructions that must end with a program check."""
    cpu = Cpu(machine, system.linux.level)
    tapq = PqapControl(function_code=FunctionCode.TAPQ)
    attempts = (
        ("PQAP in the problem state", 0x0002, tapq, True),
        ("PQAP with a reserved bit of GR0", 0x0006, tapq.replace(must_be_zero=1), False),
        ("PQAP with function code 06", 0x0006, PqapControl(function_code=6), False),
        ("PQAP(BAPQ) outside of secure execution", 0x0006, PqapControl(function_code=FunctionCode.BAPQ), False),
    )
    for what, expected, control, problem_state in attempts:
        try:
            cpu.run(Opcode.PQAP, control.value, problem_state=problem_state)
            answer, passed = "executed", False
        except ProgramCheck as check:
            answer, passed = str(check), check.code == expected
        report.check(f"{system.name}: {what}: {answer}", passed=passed)


def _foreign_domains(machine: Cpc, system: System, report: Report) -> None:
    """Send messages for domains that the guest may not use or control, through a queue that it has."""
    apqn = next(iter(Program(system).queues(Mode.CCA)), None)
    if apqn is None:
        return
    level = system.linux.level
    cpu = Cpu(machine, level)
    other = next(domain for domain in range(256) if domain not in level.effective.adm and domain != apqn.domain)
    for what, function_id in (
        ("a request for domain", CCA_USAGE),
        ("an administrative command for domain", CCA_MASTER_KEYS),
    ):
        answer, refused = _send_for(cpu, apqn, other, function_id)
        report.check(f"{system.name}: {what} {other:#04x} through {apqn}: {answer}", passed=refused)


def _send_for(cpu: Cpu, apqn: Apqn, domain: int, function_id: bytes) -> tuple[str, bool]:
    """Send a CPRB for ``domain``; returns the machine's answer, and whether that is a refusal."""
    status = cpu.nqap(apqn, cca_message(cca_control(Parameters(b"FQ"), domain, function_id=function_id)))
    if not status.ok:
        code = status.response_code
        return f"NQAP answers {code:02x}", code is ResponseCode.INVALID_DOMAIN
    cpu.machine.adapters[apqn.adapter].queue(apqn.domain).wait(programs.PATIENCE)
    status, reply = cpu.dqap(apqn)
    if not status.ok:
        return f"DQAP answers {status.response_code:02x}", False
    try:
        reply_parts(reply)
    except RequestError as refused:
        return f"the card answers reply code {refused.code:02x}", refused.code == ReplyCode.INVALID_DOMAIN_PENDING
    return "the card does what it says", False


def _forged_control_block(system: System, report: Report) -> None:
    """Have a guest's KVM give everything to its own guest."""
    level = system.linux.level
    honest, before = level.matrix, level.effective
    assert level.parent is not None
    level.set_matrix(FULL_MATRIX)
    forged = level.effective
    level.set_matrix(honest)
    report.check(
        f"{'/'.join(system.names[:-1])} writes all ones into the control block of {system.names[-1]}: it has "
        f"{counted(len(forged), 'queue')}, those of its host",
        passed=forged <= level.parent.effective and level.effective == before,
    )
