"""The AP instructions at register level: decode, check, call the function, encode (hardware.md section 1).

The order of the program checks is KVM's (hardware.md 1.5): problem state, reserved bits, T without its
facility, APQN range, facility of the function.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from apmatrix.arch import (
    WITHOUT_APXA,
    Apqn,
    CardFunctions,
    ConditionCode,
    Facility,
    FunctionCode,
    Instruction,
    Interruption,
    Opcode,
    ProgramCheck,
    QueueStatus,
    Registers,
    ResponseCode,
)
from apmatrix.arch.info import CompatibleType
from apmatrix.arch.registers import (
    MASK64,
    DqapControl,
    InterruptionControl,
    NqapControl,
    PqapControl,
    TypeQuery,
)
from apmatrix.machine.errors import Intercepted
from apmatrix.machine.notification import Notification

if TYPE_CHECKING:
    from apmatrix.machine.cpc import Cpc
    from apmatrix.machine.level import Level
    from apmatrix.machine.memory import Memory
    from apmatrix.machine.port import Port

Handler = Callable[["Port", PqapControl, Registers, "Memory"], ConditionCode]

LOW32 = 0xFFFF_FFFF
DOUBLEWORD = 8
SHORTEST_LIMIT = 3 * 4096
"""Bytes that a message may have on every adapter."""
FORCE_ALLOWED = frozenset((FunctionCode.RAPQ, FunctionCode.ZAPQ, FunctionCode.QACT))


def execute(
    machine: Cpc, level: Level, instruction: Instruction, registers: Registers, memory: Memory
) -> ConditionCode:
    """Execute NQAP, DQAP or PQAP at a level; the registers and the memory change as on the hardware.

    Returns the condition code. Raises ProgramCheck, in which case nothing has changed; Intercepted where the level's
    hypervisor leaves the instruction to user space.
    """
    if not machine.adapters and not machine.lpars:
        raise ProgramCheck(Interruption.OPERATION, "this machine has no AP instructions")
    if _leaves_sie(level, instruction, registers):
        return _intercept(level, instruction, registers, memory)
    if registers.problem_state:
        raise ProgramCheck(Interruption.PRIVILEGED_OPERATION, "AP instructions need the supervisor state")
    if instruction.opcode is Opcode.PQAP:
        return _pqap(machine, level, registers, memory)
    if instruction.opcode is Opcode.NQAP:
        return _nqap(machine, level, instruction, registers, memory)
    return _dqap(machine, level, instruction, registers, memory)


def _leaves_sie(level: Level, instruction: Instruction, registers: Registers) -> bool:
    """True for a guest's AQIC, and for every AP instruction of a guest without APIE (hardware.md 7.3)."""
    if level.parent is None:
        return False
    if not level.interpreted:
        return True
    return instruction.opcode is Opcode.PQAP and PqapControl(registers.gr[0]).function_code == FunctionCode.AQIC


def _intercept(level: Level, instruction: Instruction, registers: Registers, memory: Memory) -> ConditionCode:
    if level.hypervisor is None:
        raise Intercepted(f"{instruction.opcode.name} of {level.name} was intercepted and nothing handles it")
    return level.hypervisor.intercept(level, instruction, registers, memory)


def specification(reason: str) -> ProgramCheck:
    """A specification exception, to be raised for ``reason``."""
    return ProgramCheck(Interruption.SPECIFICATION, reason)


def _check_range(machine: Cpc, apqn: Apqn) -> None:
    if "APXA" not in machine.features and apqn not in WITHOUT_APXA:
        raise specification(f"{apqn} needs APXA: without it there are adapters 0-63 and domains 0-15")
    if apqn.adapter > machine.max_adapter or apqn.domain > machine.max_domain:
        raise specification(f"{apqn} is beyond {Apqn(machine.max_adapter, machine.max_domain)}")


# PQAP


def _pqap(machine: Cpc, level: Level, registers: Registers, memory: Memory) -> ConditionCode:
    control = PqapControl(registers.gr[0])
    function = control.function_code
    if control.must_be_zero or (control.force and function not in FORCE_ALLOWED):
        raise specification("bits 41-47 of GR0 must be zero")
    if control.facilities_too and Facility.APFT not in level.facilities:
        raise specification("the T bit needs facility 15")
    if function == FunctionCode.QCI:
        return _qci(machine, level, control, registers, memory)
    handler = _FUNCTIONS.get(function)
    if handler is None:
        raise specification(f"function code {function:02x} is not defined here")
    apqn = control.apqn
    _check_range(machine, apqn)
    return handler(machine.port(level, apqn), control, registers, memory)


def _set_status(registers: Registers, status: QueueStatus) -> ConditionCode:
    registers.gr[1] = status.value
    return ConditionCode.DONE if status.ok else ConditionCode.REFUSED


def _tapq(port: Port, control: PqapControl, registers: Registers, _memory: Memory) -> ConditionCode:
    status, info = port.tapq()
    if not control.facilities_too:
        info = info.without_facilities
    registers.gr[2] = info.value
    return _set_status(registers, status)


def _rapq(port: Port, _control: PqapControl, registers: Registers, _memory: Memory) -> ConditionCode:
    return _set_status(registers, port.rapq())


def _zapq(port: Port, _control: PqapControl, registers: Registers, _memory: Memory) -> ConditionCode:
    return _set_status(registers, port.zapq())


def _aqic(port: Port, _control: PqapControl, registers: Registers, memory: Memory) -> ConditionCode:
    if Facility.AQIC not in port.level.facilities:
        raise specification("AQIC needs facility 65")
    request = InterruptionControl(registers.gr[1])
    indication = None
    if request.enable:
        address = registers.gr[2]
        setter = memory.indicator(address) if address else None
        if setter is None:
            return _set_status(registers, _invalid_address(port.tapq()[0]))
        indication = Notification(port.level, address, request.isc, setter)
    return _set_status(registers, port.aqic(indication))


def _invalid_address(status: QueueStatus) -> QueueStatus:
    return status.replace(response_code=ResponseCode.INVALID_ADDRESS) if status.ok else status


def _qci(machine: Cpc, level: Level, control: PqapControl, registers: Registers, memory: Memory) -> ConditionCode:
    if Facility.QCI not in level.facilities:
        raise specification("QCI needs facility 12")
    if control.adapter or control.domain:
        raise specification("QCI takes no APQN")
    if registers.gr[2] % DOUBLEWORD:
        raise specification("the QCI block must begin at a doubleword boundary")
    memory.write(registers.gr[2], bytes(machine.qci(level)))
    return ConditionCode.DONE


def _qact(port: Port, _control: PqapControl, registers: Registers, _memory: Memory) -> ConditionCode:
    if "QACT" not in port.machine.features:
        raise specification("QACT is not installed")
    query = TypeQuery(registers.gr[1])
    mode = CardFunctions(coprocessor=query.coprocessor, accelerator=query.accelerator, ep11=query.ep11)
    status, found = port.qact(mode, query.highest_type)
    registers.gr[2] = CompatibleType(hardware_type=found).value
    return _set_status(registers, status)


_FUNCTIONS: dict[int, Handler] = {
    FunctionCode.TAPQ: _tapq,
    FunctionCode.RAPQ: _rapq,
    FunctionCode.ZAPQ: _zapq,
    FunctionCode.AQIC: _aqic,
    FunctionCode.QACT: _qact,
}
"""BAPQ and AAPQ are for secure-execution guests only: elsewhere a specification exception."""


# NQAP and DQAP


def _operands(
    port: Port, instruction: Instruction, registers: Registers, control: NqapControl | DqapControl
) -> tuple[int, int]:
    """Address and length from the R2 pair, after the checks that NQAP and DQAP have in common."""
    if control.must_be_zero:
        raise specification(f"GR0 has ones in bits that must be zero: {control.must_be_zero:08x}")
    if instruction.r1 % 2 or instruction.r2 % 2:
        raise specification("R1 and R2 must designate even registers")
    _check_range(port.machine, port.apqn)
    length = registers.gr[instruction.r2 + 1]
    if not length:
        raise specification("the length is zero")
    return registers.gr[instruction.r2], length


def _longest(port: Port) -> int:
    """The bytes of the longest message: 12288, or more where the adapter says so (hardware.md 1.6)."""
    adapter = port.machine.adapters.get(port.apqn.adapter)
    return max(SHORTEST_LIMIT, adapter.max_message_size) if adapter else SHORTEST_LIMIT


def _nqap(
    machine: Cpc, level: Level, instruction: Instruction, registers: Registers, memory: Memory
) -> ConditionCode:
    gr, r1, r2 = registers.gr, instruction.r1, instruction.r2
    control = NqapControl(gr[0])
    port = machine.port(level, control.apqn)
    address, length = _operands(port, instruction, registers, control)
    if not control.last_part:
        status = port.tapq()[0]
        refused = status.replace(response_code=ResponseCode.FACILITY_NOT_INSTALLED) if status.ok else status
        return _set_status(registers, refused)
    # A message that is one byte too long is refused like one of four gigabytes, and is cheaper to fetch.
    message = memory.read(address, min(length, _longest(port) + 1))
    message_id = (gr[r1] & LOW32) << 32 | gr[r1 + 1] & LOW32
    status = port.nqap(message_id, message, special=control.special_command)
    condition = _set_status(registers, status)
    if condition is ConditionCode.DONE:
        gr[r2], gr[r2 + 1] = address + length & MASK64, 0
    return condition


def _dqap(
    machine: Cpc, level: Level, instruction: Instruction, registers: Registers, memory: Memory
) -> ConditionCode:
    gr, r1, r2 = registers.gr, instruction.r1, instruction.r2
    control = DqapControl(gr[0])
    port = machine.port(level, control.apqn)
    address, length = _operands(port, instruction, registers, control)
    if length > _longest(port):
        raise specification(f"a reply has {_longest(port)} bytes at most, the buffer {length}")
    memory.check_store(address, length)  # before the reply leaves the queue
    delivery = port.dqap(length, control.position)
    if delivery.status is not None and not delivery.status.ok:
        return _set_status(registers, delivery.status)
    memory.write(address, delivery.data)
    gr[r2] = address + len(delivery.data) & MASK64
    gr[r2 + 1] = length - len(delivery.data)
    gr[2] = delivery.remaining
    if delivery.status is None:
        gr[0] = control.replace(position=delivery.position).value
        return ConditionCode.PART_STORED
    gr[r1], gr[r1 + 1] = delivery.message_id >> 32, delivery.message_id & LOW32
    return _set_status(registers, delivery.status)
