"""Vectors I74 to I80: levels and their control blocks (hardware.md 8.1, host.md KVM-42, KVM-43)."""

from __future__ import annotations

import pytest

from apmatrix.arch import (
    EMPTY_MATRIX,
    ConditionCode,
    ControlBlock,
    CrycbFormat,
    Interruption,
    Mask,
    Matrix,
    Opcode,
    ProgramCheck,
)
from apmatrix.machine import Intercepted, Level, ValidityInterception, check_entry, shadow

FORMAT_0, FORMAT_1, FORMAT_2 = CrycbFormat


@pytest.fixture
def guest(bench):
    level = bench.level.child("guest")
    level.set_matrix(Matrix(Mask.of(5), Mask.of(6)))
    return level


@pytest.mark.parametrize(
    ("opcode", "gr0"),
    [(Opcode.PQAP, 0x00800206), (Opcode.PQAP, 0x00800533), (Opcode.PQAP, 0x01000206), (Opcode.PQAP, 0x02000206),
     (Opcode.NQAP, 0x40000206), (Opcode.DQAP, 0x80000206)],
)  # fmt: skip
def test_I74_an_apqn_outside_the_guests_matrix_is_not_available(bench, guest, opcode, gr0):
    bench.set(gr0=gr0, gr6=0x4000, gr7=100)
    assert bench.execute(opcode, guest) is ConditionCode.REFUSED
    assert bench.registers.gr[1] == 0x00010000
    if gr0 & 0x00800000:
        assert bench.registers.gr[2] == 0


def test_I74_beyond_the_machine_it_is_a_specification_exception(bench, guest):
    bench.set(gr0=0x00000555)
    with pytest.raises(ProgramCheck) as check:
        bench.execute(Opcode.PQAP, guest)
    assert check.value.code is Interruption.SPECIFICATION


def test_I75_qci_in_a_guest_shows_its_own_masks(bench, guest):
    before = list(bench.set(gr0=0x04000000, gr2=0x2000).gr)
    assert bench.execute(Opcode.PQAP, guest) is ConditionCode.DONE
    assert bench.registers.gr == before
    expected = bytearray(128)
    expected[0:6] = bytes.fromhex("c00000003f54")
    expected[16], expected[48] = 0x04, 0x02
    assert bench.memory.read(0x2000, 128) == bytes(expected)


def test_I76_the_effective_matrix_is_the_and_of_all_levels():
    host = Level("host")
    host.set_matrix(Matrix(Mask.of(2, 5), Mask.of(6), Mask.of(6, 0x40)))
    first = host.child("first")
    first.set_matrix(Matrix(Mask.of(5, 10), Mask.of(6, 0x33), Mask.of(0x40)))
    second = first.child("second")
    everything = Matrix(*[Mask.up_to(255)] * 3)
    second.set_matrix(everything)
    assert second.effective == Matrix(Mask.of(5), Mask.of(6), Mask.of(0x40))
    host.set_matrix(everything)
    assert second.effective == first.matrix
    first.close()
    assert second.effective == EMPTY_MATRIX
    assert host.children == []


@pytest.mark.parametrize(
    ("outer", "origin", "bits", "code"),
    [
        pytest.param(FORMAT_2, 0, 3, 0x0039, id="I77"),
        pytest.param(FORMAT_2, 0xF80, 3, 0x003C, id="I78"),
        pytest.param(FORMAT_1, 0x2000, 3, 0x0022, id="I79"),
        pytest.param(FORMAT_0, 0x2000, 3, 0x0022, id="I79-format-0"),
        pytest.param(FORMAT_0, 0x2000, 1, 0x0022, id="1-onto-0"),
        pytest.param(FORMAT_2, 0x2000, 2, 0x0022, id="binary-10"),
        pytest.param(FORMAT_1, 0xF80, 3, 0x003C, id="003C-before-0022"),
        pytest.param(FORMAT_2, 0xF00, 3, 0x003C, id="ends-with-the-page"),
        pytest.param(FORMAT_2, 0xF80, 1, 0x003C, id="128-bytes"),
        pytest.param(FORMAT_2, 0xFE0, 0, 0x003C, id="32-bytes"),
    ],
)
def test_sie_entry_is_refused(outer, origin, bits, code):
    with pytest.raises(ValidityInterception) as refused:
        check_entry(outer, origin, bits)
    assert refused.value.code == code
    assert f"{code:04x}" in str(refused.value)


@pytest.mark.parametrize(
    ("outer", "origin", "bits", "form"),
    [
        (FORMAT_2, 0xEF8, 3, FORMAT_2),
        (FORMAT_2, 0xF78, 1, FORMAT_1),
        (FORMAT_1, 0x2000, 1, FORMAT_1),
        (FORMAT_2, 0xFD8, 0, FORMAT_0),
        (FORMAT_1, 0x2000, 0, FORMAT_0),
        (FORMAT_0, 0x2000, 0, FORMAT_0),
    ],
)
def test_sie_entry_is_allowed(outer, origin, bits, form):
    assert check_entry(outer, origin, bits) is form


def test_a_shadow_holds_what_both_allow():
    outer = Level("host")
    outer.set_matrix(Matrix(Mask.of(5, 6, 70), Mask.of(4, 0xAB), Mask.of(4, 0xAB)))
    guest = outer.child("guest")
    guest.set_matrix(Matrix(Mask.of(5, 70), Mask.of(4, 0xAB), Mask.of(0xAB)))
    asked = Matrix(Mask.of(5, 6, 70), Mask.of(4, 5, 0xAB), Mask.of(4, 0xAB))
    both = shadow(guest, 0x2000, 3, ControlBlock.of(FORMAT_2, asked)).matrix(FORMAT_2)
    assert both == Matrix(Mask.of(5, 70), Mask.of(4, 0xAB), Mask.of(0xAB))
    narrow = shadow(guest, 0x2000, 1, ControlBlock.of(FORMAT_1, asked)).matrix(FORMAT_2)
    assert narrow == Matrix(Mask.of(5), Mask.of(4))


@pytest.mark.parametrize("opcode", Opcode)
def test_I80_without_apie_every_instruction_goes_to_user_space(bench, guest, opcode):
    guest.interpret = False
    before = list(bench.set(gr0=0x00000506, gr6=0x4000, gr7=100).gr)
    with pytest.raises(Intercepted):
        bench.execute(opcode, guest)
    assert bench.registers.gr == before


@pytest.mark.parametrize("opcode", Opcode)
def test_I80_a_nested_guest_needs_apie_at_every_level(bench, guest, opcode):
    nested = guest.child("nested")
    nested.set_matrix(guest.matrix)
    bench.set(gr0=0x00000506, gr6=0x4000, gr7=100)
    assert bench.execute(opcode, nested) in (ConditionCode.DONE, ConditionCode.REFUSED)
    guest.interpret = False
    with pytest.raises(Intercepted):
        bench.execute(opcode, nested)
