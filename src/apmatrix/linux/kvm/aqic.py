"""PQAP(AQIC) of a guest: what KVM checks before the driver of the device answers (KVM-30, KVM-31)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from apmatrix.arch import (
    ConditionCode,
    Facility,
    FunctionCode,
    Instruction,
    Interruption,
    Opcode,
    ProgramCheck,
    Registers,
)
from apmatrix.arch.registers import PqapControl

if TYPE_CHECKING:
    from apmatrix.linux.kvm.policy import KvmPolicy
    from apmatrix.linux.kvm.vm import KvmVm
    from apmatrix.machine import Level, Memory


def intercept(
    vm: KvmVm, policy: KvmPolicy, instruction: Instruction, registers: Registers, memory: Memory
) -> ConditionCode:
    """Handle an AP instruction that left SIE. Raises ProgramCheck; Intercepted if it is left to user space."""
    control = PqapControl(registers.gr[0])
    known = instruction.opcode is Opcode.PQAP and control.function_code == FunctionCode.AQIC
    if not vm.level.interpret or not known:
        raise ProgramCheck(
            Interruption.OPERATION, f"{instruction.opcode.name} of {vm.name} is not interpreted: APIE is off"
        )
    _check(vm.level, control, registers)
    hook = vm.pqap_hook
    if hook is None:
        policy.store_no_hook(registers)
        return ConditionCode.REFUSED
    status = hook(registers, memory)
    registers.gr[1] = status.value
    return ConditionCode.DONE if status.ok else ConditionCode.REFUSED


def _check(level: Level, control: PqapControl, registers: Registers) -> None:
    """Raise the program checks of KVM-30, in its order."""
    if registers.problem_state:
        raise ProgramCheck(Interruption.PRIVILEGED_OPERATION, "PQAP needs the supervisor state")
    reasons = (
        (control.force or control.must_be_zero, "bits 41-47 of GR0 must be zero"),
        (control.facilities_too and Facility.APFT not in level.facilities, "the T bit needs facility 15"),
        (control.apqn not in level.form.limits, "without APXA there are adapters 0-63 and domains 0-15"),
        (Facility.AQIC not in level.facilities, "AQIC needs facility 65"),
    )
    for broken, reason in reasons:
        if broken:
            raise ProgramCheck(Interruption.SPECIFICATION, reason)
