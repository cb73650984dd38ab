"""PQAP(AQIC) of a guest, as KVM and vfio_ap handle it (KVM-30 to KVM-35)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from apmatrix.arch import (
    Apqn,
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
from apmatrix.arch.registers import InterruptionControl, PqapControl
from apmatrix.arch.status import NOT_AVAILABLE, queue_status
from apmatrix.machine import Intercepted, Level, Memory, Notification

if TYPE_CHECKING:
    from apmatrix.linux.kvm.vm import Vm
    from apmatrix.linux.system import LinuxSystem
    from apmatrix.linux.vfio_ap.queue import VfioQueue

RETRIES = 5
RETRY_INTERVAL = 0.02
INVALID_ADDRESS = queue_status(ResponseCode.INVALID_ADDRESS)

_TRY_AGAIN = (ResponseCode.RESET_IN_PROGRESS, ResponseCode.BUSY)


def intercept(vm: Vm, instruction: Instruction, registers: Registers, memory: Memory) -> ConditionCode:
    """Handle an AP instruction that left SIE; what KVM does not know goes to user space."""
    control = PqapControl(registers.gr[0])
    known = instruction.opcode is Opcode.PQAP and control.function_code == FunctionCode.AQIC
    if not vm.level.interpret or not known:
        raise ProgramCheck(
            Interruption.OPERATION, f"{instruction.opcode.name} of {vm.name} is not interpreted: APIE is off"
        )
    _check(vm.level, control, registers)
    return _answer(vm, control.apqn, registers, memory)


def _check(level: Level, control: PqapControl, registers: Registers) -> None:
    """KVM-30, in its order."""
    if registers.problem_state:
        raise ProgramCheck(Interruption.PRIVILEGED_OPERATION, "PQAP is for the supervisor state")
    reasons = (
        (control.force or control.must_be_zero, "bits 41-47 of GR0 must be zero"),
        (control.facilities_too and Facility.APFT not in level.facilities, "the T bit needs facility 15"),
        (control.apqn not in level.form.limits, "without APXA there are adapters 0-63 and domains 0-15"),
        (Facility.AQIC not in level.facilities, "AQIC needs facility 65"),
    )
    for broken, reason in reasons:
        if broken:
            raise ProgramCheck(Interruption.SPECIFICATION, reason)


def _answer(vm: Vm, apqn: Apqn, registers: Registers, memory: Memory) -> ConditionCode:
    host = vm.host
    if not vm.has_device:
        return _no_hook(host, registers)
    if not vm.delivers_interrupts:
        raise Intercepted(f"AQIC of {vm.name}: the VM has no adapter interruption virtualization")
    request = InterruptionControl(registers.gr[1])
    with host.kernel:
        queue = _linked(vm, apqn)
        if queue is None:
            status = NOT_AVAILABLE
        elif request.enable:
            status = _enable(vm, queue, request.isc, registers.gr[2], memory)
        else:
            status = _disable(host, queue)
    registers.gr[1] = status.value
    return ConditionCode.DONE if status.ok else ConditionCode.REFUSED


def _no_hook(host: LinuxSystem, registers: Registers) -> ConditionCode:
    """The VM has no vfio-ap device: response code 01 (KVM-31)."""
    host.policy.store_no_hook(registers)
    return ConditionCode.REFUSED


def _linked(vm: Vm, apqn: Apqn) -> VfioQueue | None:
    """The queue among the linked ones: the guest's own masks are not asked (KVM-33)."""
    mdev = next(file.mdev for file in vm.files if file.first)
    return vm.host.policy.interrupt_queue(mdev, apqn) if mdev.vm else None


def _enable(vm: Vm, queue: VfioQueue, isc: int, address: int, memory: Memory) -> QueueStatus:
    """KVM-34."""
    host = vm.host
    setter = memory.indicator(address) if address else None
    if setter is None:
        return INVALID_ADDRESS
    indication = Notification(vm.level, address, isc, setter)
    status = queue.port.aqic(indication)
    code = status.response_code
    if code == ResponseCode.NORMAL:
        queue.interrupt = indication
    elif code != ResponseCode.OTHERWISE_CHANGED:
        _report(host, queue, status)
        _disable(host, queue)
    return status


def _disable(host: LinuxSystem, queue: VfioQueue) -> QueueStatus:
    """KVM-35."""
    status = queue.port.aqic(None)
    for _ in range(RETRIES):
        if status.response_code not in _TRY_AGAIN:
            break
        host.kernel.wait_until(lambda: False, RETRY_INTERVAL)
        status = queue.port.aqic(None)
    if status.response_code not in (ResponseCode.NORMAL, ResponseCode.OTHERWISE_CHANGED, *_TRY_AGAIN):
        _report(host, queue, status)
    queue.release_interrupt()
    return status


def _report(host: LinuxSystem, queue: VfioQueue, status: QueueStatus) -> None:
    host.log.warning(f"vfio_ap: PQAP(AQIC) for {queue.apqn} failed with rc={status.response_code}")
