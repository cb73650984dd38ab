"""Vectors I1 to I45: PQAP at register level (hardware.md 8.1).

Each case says which registers change and to what; every other register must keep its content.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from apmatrix.arch import ConditionCode, Facility, Instruction, Interruption, Opcode, ProgramCheck, ResponseCode
from apmatrix.cards import QueueFunction
from apmatrix.machine import Cpc, FlatMemory, Level, execute
from support.bench import FACILITIES_OF_M, Bench

if TYPE_CHECKING:
    from collections.abc import Callable

DONE, REFUSED = ConditionCode.DONE, ConditionCode.REFUSED
PRIVILEGED, SPECIFICATION = Interruption.PRIVILEGED_OPERATION, Interruption.SPECIFICATION
INFO_05 = 0x938000000E540307
AQIC_ENABLE = {"gr0": 0x03000506, "gr1": 0x0000800000000006}


@dataclass(frozen=True)
class Pqap:
    """One line of the table: the registers before, the condition code or program check, what changed."""

    registers: dict[str, int]
    result: ConditionCode | Interruption
    changed: dict[int, int] = field(default_factory=dict)
    before: Callable[[Bench], object] = lambda bench: None
    without_facility: int | None = None
    features: tuple[str, ...] = ("APSC", "APXA")
    problem_state: bool = False


def status(gr1: int, **others: int) -> dict[int, int]:
    """GR1 and, if given, GR2."""
    return {1: gr1, **{int(name[2:]): value for name, value in others.items()}}


def enabled_with(in_process: int, replies: int) -> Callable[[Bench], None]:
    def prepare(bench: Bench) -> None:
        bench.load(in_process, replies)
        bench.enable()

    return prepare


def loaded(in_process: int, replies: int) -> Callable[[Bench], None]:
    return lambda bench: bench.load(in_process, replies)


def aqic_done(bench: Bench) -> None:
    bench.set(**AQIC_ENABLE, gr2=0x01234567)
    assert bench.execute(Opcode.PQAP) is DONE


def busy(bench: Bench) -> None:
    bench.answer(QueueFunction.TAPQ, ResponseCode.BUSY)


CASES = {
    2: Pqap({"gr0": 0}, REFUSED, status(0x00010000, gr2=0)),
    3: Pqap({"gr0": 0x0506}, DONE, status(0x80000000, gr2=0x000000000E000007)),
    4: Pqap({"gr0": 0x00800506}, DONE, status(0x80000000, gr2=INFO_05)),
    5: Pqap({"gr0": 0x00800206}, DONE, status(0x80000000, gr2=0x6A8000000D540307)),
    6: Pqap({"gr0": 0x00800A33}, DONE, status(0x80000000, gr2=0x868000000E540307)),
    7: Pqap({"gr0": 0x00800540}, REFUSED, status(0x00010000, gr2=0)),
    8: Pqap({"gr0": 0x00800306}, REFUSED, status(0x00010000, gr2=0)),
    9: Pqap({"gr0": 0x00000555}, SPECIFICATION),
    10: Pqap({"gr0": 0x00004006}, SPECIFICATION),
    11: Pqap({"gr0": 0x00800506}, SPECIFICATION, without_facility=Facility.APFT),
    12: Pqap({"gr0": 0x00000510}, SPECIFICATION, features=("APSC",)),
    13: Pqap({"gr0": 0x00010506}, SPECIFICATION),
    14: Pqap({"gr0": 0x00000506}, PRIVILEGED, problem_state=True),
    15: Pqap({"gr0": 0x00800506}, REFUSED, status(0x80030000, gr2=INFO_05), Bench.configure_off),
    16: Pqap({"gr0": 0x00800506}, REFUSED, status(0x80040000, gr2=INFO_05), Bench.checkstop),
    17: Pqap({"gr0": 0x00800506}, REFUSED, status(0x80020000, gr2=INFO_05), Bench.run_reset),
    18: Pqap({"gr0": 0x00800506}, REFUSED, status(0x80050000, gr2=INFO_05), busy),
    19: Pqap({"gr0": 0x0506}, DONE, status(0x81000000, gr2=0x0E000007), Bench.enable),
    20: Pqap({"gr0": 0x0506}, DONE, status(0x01000000, gr2=0x0E000007), enabled_with(3, 0)),
    21: Pqap({"gr0": 0x0506}, DONE, status(0x41000000, gr2=0x0E000007), enabled_with(2, 1)),
    22: Pqap({"gr0": 0x0506}, DONE, status(0x20000000, gr2=0x0E000007), loaded(8, 0)),
    23: Pqap({"gr0": 0x0506}, DONE, status(0x60000000, gr2=0x0E000007), loaded(5, 3)),
    24: Pqap({"gr0": 0x01000506}, DONE, status(0x80000000), enabled_with(2, 1)),
    25: Pqap({"gr0": 0x01000506}, REFUSED, status(0x80020000), Bench.run_reset),
    27: Pqap({"gr0": 0x01400506}, DONE, status(0x80000000)),
    28: Pqap({"gr0": 0x02000506}, DONE, status(0x80000000), enabled_with(1, 1)),
    29: Pqap({"gr0": 0x01000506}, REFUSED, status(0x80030000), Bench.configure_off),
    30: Pqap({"gr0": 0x01000540}, REFUSED, status(0x00010000)),
    32: Pqap({**AQIC_ENABLE, "gr2": 0x01234567}, REFUSED, status(0x81070000), aqic_done),
    33: Pqap({"gr0": 0x03000506, "gr1": 0, "gr2": 0}, DONE, status(0x80000000), Bench.enable),
    34: Pqap({"gr0": 0x03000506, "gr1": 0, "gr2": 0}, REFUSED, status(0x80070000)),
    35: Pqap({**AQIC_ENABLE, "gr2": 0}, REFUSED, status(0x80060000)),
    36: Pqap({**AQIC_ENABLE, "gr2": 0x10_0000_0000}, REFUSED, status(0x80060000)),
    37: Pqap({**AQIC_ENABLE, "gr2": 0x01234567}, REFUSED, status(0x80020000), Bench.run_reset),
    38: Pqap({**AQIC_ENABLE, "gr2": 0x01234567}, SPECIFICATION, without_facility=Facility.AQIC),
    39: Pqap({**AQIC_ENABLE, "gr2": 0x01234567}, PRIVILEGED, problem_state=True),
    43: Pqap({"gr0": 0x04000000, "gr2": 0x1000}, SPECIFICATION, without_facility=Facility.QCI),
    46: Pqap({"gr0": 0x07000506}, SPECIFICATION),
    81: Pqap({"gr0": 0x04000000, "gr2": 0x1004}, SPECIFICATION),
}


def check_unchanged(bench: Bench, before: list[int], changed: dict[int, int]) -> None:
    """Only the registers named may differ, and they hold what is named."""
    expected = [changed.get(number, content) for number, content in enumerate(before)]
    assert [f"{content:016x}" for content in bench.registers.gr] == [f"{content:016x}" for content in expected]


@pytest.mark.parametrize("case", CASES.values(), ids=[f"I{number}" for number in CASES])
def test_pqap(case):
    facilities = [number for number in FACILITIES_OF_M if number != case.without_facility]
    bench = Bench(facilities, case.features)
    case.before(bench)
    bench.set(**case.registers).problem_state = case.problem_state
    before = list(bench.registers.gr)
    if isinstance(case.result, Interruption):
        with pytest.raises(ProgramCheck) as check:
            bench.execute(Opcode.PQAP)
        assert check.value.code is case.result
    else:
        assert bench.execute(Opcode.PQAP) is case.result
    check_unchanged(bench, before, case.changed)
    bench.close()


def test_I1_a_machine_without_ap_gives_an_operation_exception(bench):
    empty = Cpc("empty")
    bench.set(gr0=0)
    with pytest.raises(ProgramCheck) as check:
        execute(empty, Level("lpar"), Instruction(Opcode.PQAP), bench.registers, bench.memory)
    assert check.value.code is Interruption.OPERATION
    empty.close()


@pytest.mark.parametrize("gr0", [0x01000506, 0x02000506], ids=["I24", "I28"])
def test_a_reset_leaves_nothing(bench, gr0):
    enabled_with(2, 1)(bench)
    bench.set(gr0=gr0)
    bench.execute(Opcode.PQAP)
    assert bench.queue.test().value == 0x80000000
    bench.steps.run()  # the card finishes what it had begun, unnoticed
    assert bench.queue.test().value == 0x80000000
    assert bench.interruptions == []


def test_I26_a_second_reset_is_accepted_or_finds_the_first_running(bench):
    for _ in range(2):
        bench.set(gr0=0x01000506)
        result = bench.execute(Opcode.PQAP), bench.registers.gr[1]
    assert result in ((DONE, 0x80000000), (REFUSED, 0x80020000))


def test_I31_interruptions_are_enabled_with_indicator_and_isc(bench):
    before = list(bench.set(**AQIC_ENABLE, gr2=0x01234567).gr)
    assert bench.execute(Opcode.PQAP) is DONE
    assert bench.registers.gr[1] in (0x80000000, 0x81000000)
    check_unchanged(bench, before, {1: bench.registers.gr[1]})
    assert bench.queue.test().value == 0x81000000
    bench.load(0, 1)
    assert bench.memory.read(0x01234566, 3) == b"\x00\x01\x00"
    assert bench.interruptions == [6]


def test_I42_qci_stores_the_block_and_changes_no_register(bench):
    before = list(bench.set(gr0=0x04000000, gr2=0x2008).gr)
    assert bench.execute(Opcode.PQAP) is DONE
    check_unchanged(bench, before, {})
    block = (
        "c00000003f54" + "00" * 10
        + "2420" + "00" * 30
        + "0200000000001000" + "00" * 24
        + "020000000000100080" + "00" * 23
        + "00" * 16
    )  # fmt: skip
    assert bench.memory.read(0x2008 - 8, 144).hex() == "00" * 8 + block + "00" * 8


def test_I44_qci_into_an_unmapped_page_is_a_translation_exception(bench):
    class Unmapped(FlatMemory):
        def write(self, address, data):
            raise ProgramCheck(Interruption.PAGE_TRANSLATION, f"{address:#x} is not mapped")

    bench.memory = Unmapped(0)
    before = list(bench.set(gr0=0x04000000, gr2=0x5000).gr)
    with pytest.raises(ProgramCheck) as check:
        bench.execute(Opcode.PQAP)
    assert check.value.code is Interruption.PAGE_TRANSLATION
    check_unchanged(bench, before, {})


def test_I45_qact_maps_an_unknown_type_to_a_known_one():
    bench = Bench(features=("APSC", "APXA", "QACT"))
    del bench.machine.adapters[5]
    bench.plug(5, "CEX8C", hardware_type=15, compatible_type=14)
    before = list(bench.set(gr0=0x05000506, gr1=0x100000000E000000).gr)
    assert bench.execute(Opcode.PQAP) in (DONE, REFUSED)
    assert bench.registers.gr[1] == 0x80000000
    assert bench.registers.gr[2] >> 24 & 0xFF == 14
    assert not bench.registers.gr[2] >> 32
    check_unchanged(bench, before, {1: bench.registers.gr[1], 2: bench.registers.gr[2]})
    bench.close()


@pytest.mark.parametrize("reserved", [0x00200000, 0x00100000, 0x00080000, 0x00040000, 0x00020000, 0x00010000])
@pytest.mark.parametrize("function", range(6))
def test_I13_every_reserved_bit_of_gr0_is_checked(bench, function, reserved):
    before = list(bench.set(gr0=function << 24 | reserved | 0x0506, gr1=0, gr2=0x1000).gr)
    with pytest.raises(ProgramCheck) as check:
        bench.execute(Opcode.PQAP)
    assert check.value.code is SPECIFICATION
    check_unchanged(bench, before, {})


@pytest.mark.parametrize("function", [0x06, 0x07, 0x08, 0x09, 0x40, 0xFF])
def test_function_codes_that_do_not_exist_here_are_specification_exceptions(bench, function):
    before = list(bench.set(gr0=function << 24 | 0x0506).gr)
    with pytest.raises(ProgramCheck) as check:
        bench.execute(Opcode.PQAP)
    assert check.value.code is SPECIFICATION
    check_unchanged(bench, before, {})


@pytest.mark.parametrize("left_half", [0xFFFFFFFF, 0x00001000])
def test_the_left_half_of_gr0_is_ignored(bench, left_half):
    bench.set(gr0=left_half << 32 | 0x00800506)
    assert bench.execute(Opcode.PQAP) is DONE
    assert bench.registers.gr[2] == INFO_05
    assert bench.registers.gr[0] == left_half << 32 | 0x00800506
