import pytest
from hypothesis import given
from hypothesis import strategies as st

from apmatrix.arch import Apqn, Instruction, Opcode, Registers
from apmatrix.arch.registers import DqapControl, InterruptionControl, NqapControl, PqapControl, TypeQuery
from support.strategies import apqns

register = st.integers(0, 15)


@given(st.sampled_from(Opcode), register, register)
def test_an_instruction_reads_what_it_prints(opcode, r1, r2):
    instruction = Instruction(opcode, r1, r2)
    assert Instruction.decode(instruction.encode()) == instruction


@pytest.mark.parametrize(
    ("code", "instruction"),
    [
        ("b2ad0046", Instruction(Opcode.NQAP, 4, 6)),
        ("b2ae0024", Instruction(Opcode.DQAP, 2, 4)),
        ("b2af0000", Instruction(Opcode.PQAP)),
    ],
)
def test_instructions_are_of_format_rre(code, instruction):
    assert instruction.encode().hex() == code
    assert Instruction.decode(bytes.fromhex(code)) == instruction


def test_the_third_byte_is_ignored():
    assert Instruction.decode(bytes.fromhex("b2ad7746")) == Instruction(Opcode.NQAP, 4, 6)


@pytest.mark.parametrize("code", ["", "b2af00", "b2af000000", "b2ac0000", "00000000"])
def test_other_codes_are_no_ap_instruction(code):
    with pytest.raises(ValueError):
        Instruction.decode(bytes.fromhex(code))


@pytest.mark.parametrize("gr", [[0] * 15, [0] * 17, [0] * 15 + [-1], [1 << 64] + [0] * 15])
def test_sixteen_registers_of_64_bits(gr):
    with pytest.raises(ValueError, match="sixteen"):
        Registers(gr)


def test_every_cpu_has_registers_of_its_own():
    one, other = Registers(), Registers()
    one.gr[0] = 7
    assert other.gr == [0] * 16
    assert not other.problem_state


def test_gr0_of_pqap():
    word = PqapControl(0x00C10506)
    assert word.function_code == 0
    assert word.facilities_too
    assert word.force
    assert word.must_be_zero == 1
    assert word.apqn == Apqn(5, 6)
    assert PqapControl(0xFFFF_FFFF_03BF_0000).function_code == 3
    assert PqapControl(0xFFFF_FFFF_003F_0000).must_be_zero == 0x3F
    assert not PqapControl(0xFFFF_FFFF_FF3F_FFFF).facilities_too


@given(apqns)
def test_the_apqn_is_in_bits_48_to_63_of_each(apqn):
    for layout in (PqapControl, NqapControl, DqapControl):
        word = layout(adapter=apqn.adapter, domain=apqn.domain)
        assert word.apqn == apqn
        assert word.value == apqn.code


def test_gr0_of_nqap_and_dqap():
    assert NqapControl(0x40400206) == NqapControl(last_part=True, special_command=True, adapter=2, domain=6)
    assert DqapControl(0x0000100080000506) == DqapControl(position=4096, any_reply=True, adapter=5, domain=6)


def test_gr1_of_aqic_as_linux_builds_it():
    assert InterruptionControl(enable=True, isc=6).value == 0x0000800000000006
    word = InterruptionControl(0x00FF_8703_7FFF_FFE5)
    assert (word.zone, word.enable, word.guest_isc, word.gisa_format, word.isc) == (255, True, 7, 3, 5)
    assert word.gisa_origin == 0x7FFFFFE


def test_gr1_of_qact():
    word = TypeQuery(0x100000000E000000)
    assert (word.coprocessor, word.accelerator, word.ep11, word.highest_type) == (True, False, False, 14)
