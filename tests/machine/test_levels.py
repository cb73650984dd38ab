"""Levels narrow each other at any depth, and no instruction does anything but answer."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from apmatrix.arch import (
    EMPTY_MATRIX,
    FULL_MATRIX,
    CrycbFormat,
    Instruction,
    Matrix,
    Opcode,
    ProgramCheck,
    Registers,
)
from apmatrix.machine import Intercepted, Level, execute
from support.bench import STORAGE, Bench
from support.strategies import matrices

chains = st.lists(st.tuples(matrices, st.sampled_from(CrycbFormat)), min_size=1, max_size=5)


@given(chains)
def test_a_level_has_what_all_levels_above_allow(chain):
    level, expected, levels = None, FULL_MATRIX, []
    for depth, (matrix, form) in enumerate(chain, 1):
        level = Level("host", form=form) if level is None else level.child(f"level {depth}", form)
        level.set_matrix(matrix)
        levels.append(level)
        expected = expected & matrix & form.limits
        assert level.depth == depth
        assert level.effective == expected
        assert level.matrix == matrix & form.limits
    levels[0].set_matrix(EMPTY_MATRIX)
    assert {each.effective for each in levels} == {EMPTY_MATRIX}


@given(chains, st.integers(0, 4))
def test_closing_a_level_ends_all_below_it(chain, which):
    levels = [Level("host")]
    for number, (_, form) in enumerate(chain):
        levels.append(levels[-1].child(str(number), form))
    for level, matrix in zip(levels, [FULL_MATRIX, *(matrix for matrix, _ in chain)], strict=True):
        level.set_matrix(matrix)
    cut = min(which, len(levels) - 1)
    levels[cut].close()
    assert all(level.effective == EMPTY_MATRIX for level in levels[cut:])
    assert levels[0].children == ([] if cut <= 1 else [levels[1]])
    assert all(level.children == [] for level in levels[cut:])


def test_facilities_are_inherited_and_can_only_be_taken_away():
    host = Level("host", facilities=(12, 15, 76))
    guest = host.child("guest", facilities=(12, 65))
    assert guest.facilities == {12}
    assert guest.child("nested").facilities == {12}


word = st.integers(0, (1 << 64) - 1)
near = st.sampled_from([0, 1, 0x2000, STORAGE - 1, STORAGE, 1 << 63, (1 << 64) - 1])
gr0 = st.one_of(
    word,
    st.builds(
        lambda function, flags, apqn: function << 24 | flags << 16 | apqn,
        st.integers(0, 255),
        st.sampled_from([0, 0x40, 0x80, 0xC0, 1]),
        st.sampled_from([0x0506, 0x0206, 0x0533, 0x0540, 0x0555, 0xFFFF]),
    ),
)


@given(
    instruction=st.builds(Instruction, st.sampled_from(Opcode), st.integers(0, 15), st.integers(0, 15)),
    first=gr0,
    others=st.lists(st.one_of(near, word), min_size=15, max_size=15),
    problem=st.booleans(),
    nested=st.booleans(),
)
@example(instruction=Instruction(Opcode.PQAP), first=0x03000506, others=[0] * 15, problem=False, nested=True)
def test_any_register_content_is_answered_by_the_architecture(instruction, first, others, problem, nested):
    bench = Bench()
    level = bench.level
    if nested:
        level = level.child("guest")
        level.set_matrix(FULL_MATRIX)
    registers = Registers([first, *others], problem)
    before = list(registers.gr)
    try:
        execute(bench.machine, level, instruction, registers, bench.memory)
    except ProgramCheck:
        assert registers.gr == before
    except Intercepted:  # AQIC is its host's to execute
        assert nested
        assert registers.gr == before
    assert all(0 <= content < 1 << 64 for content in registers.gr)
    assert len(registers.gr) == 16
    bench.close()


@pytest.mark.parametrize("problem", [True, False])
def test_a_program_check_executes_nothing(bench, problem):
    bench.load(0, 1)
    bench.set(gr0=0x01010506 if not problem else 0x01000506).problem_state = problem
    with pytest.raises(ProgramCheck):
        bench.execute(Opcode.PQAP)
    assert bench.queue.test().replies_waiting


def test_matrices_of_levels_are_values():
    level = Level("host")
    level.set_matrix(FULL_MATRIX)
    effective = level.effective
    level.set_matrix(Matrix())
    assert effective == FULL_MATRIX
