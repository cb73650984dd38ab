"""Vectors I47 to I73: NQAP, DQAP and the interruption at register level (hardware.md 8.1)."""

from __future__ import annotations

import pytest

from apmatrix.arch import ConditionCode, Interruption, Opcode, ProgramCheck, ResponseCode
from apmatrix.cards import QueueFunction
from support.bench import MATRIX_OF_M, POISON, REPLY, Bench
from support.queues import Bell

DONE, REFUSED, PART = ConditionCode.DONE, ConditionCode.REFUSED, ConditionCode.PART_STORED
ADDRESS = 0x4000
MESSAGE = bytes(range(200)) * 2
ID = {"gr4": 0x539, "gr5": 1}
NEEDED = {Opcode.NQAP: 0x40000000, Opcode.DQAP: 0x80000000}
"""The option that Linux always sets in GR0."""
AQIC_ENABLE = {"gr0": 0x03000506, "gr1": 0x0000800000000006, "gr2": 0x01234567}


@pytest.fixture
def bench(bench):
    bench.memory.write(ADDRESS, MESSAGE)
    return bench


def nqap(bench: Bench, length: int = 396, gr0: int = 0x40000506) -> tuple[ConditionCode, int, dict[int, int]]:
    """Execute NQAP; its condition code, GR1, and the other registers that changed."""
    before = list(bench.set(gr0=gr0, **ID, gr6=ADDRESS, gr7=length).gr)
    return observe(bench, Opcode.NQAP, before)


def dqap(bench: Bench, length: int = 12288, gr0: int = 0x80000506) -> tuple[ConditionCode, int, dict[int, int]]:
    """Execute DQAP as Linux does, into a buffer of rubbish."""
    bench.memory.write(ADDRESS, b"\xee" * 12288)
    before = list(bench.set(gr0=gr0, gr2=0, gr4=0, gr5=0, gr6=ADDRESS, gr7=length).gr)
    return observe(bench, Opcode.DQAP, before)


def observe(bench: Bench, opcode: Opcode, before: list[int]) -> tuple[ConditionCode, int, dict[int, int]]:
    condition = bench.execute(opcode)
    after = bench.registers.gr
    changed = {number: after[number] for number in range(16) if number != 1 and after[number] != before[number]}
    return condition, after[1], changed


def stored(bench: Bench) -> bytes:
    """What DQAP stored."""
    return bench.memory.read(ADDRESS, 12288).rstrip(b"\xee")


def status(bench: Bench) -> int:
    return bench.queue.test().value


TAKEN = {6: ADDRESS + 396, 7: 0}
DELIVERED = {4: 0x539, 5: 1, 6: ADDRESS + 292, 7: 12288 - 292}


def processed(bench):
    """The domain and the request of whatever the card processes from now on."""
    seen = []

    def process(domain, request):
        seen.append((domain, request))
        return REPLY

    bench.echo.process = process
    return seen


def test_I47_a_message_is_taken(bench):
    assert nqap(bench) == (DONE, 0x00000000, TAKEN)
    assert status(bench) == 0x00000000


def test_I47_what_the_card_gets_is_the_message_and_its_id(bench):
    seen = processed(bench)
    nqap(bench)
    bench.steps.finish()
    [(domain, request)] = seen
    assert (domain, request.message, request.message_id) == (6, MESSAGE[:396], 0x539_0000_0001)
    assert request.control_domains == MATRIX_OF_M.adm


def test_I48_the_last_place_is_taken(bench):
    bench.load(7)
    assert nqap(bench) == (DONE, 0x20000000, TAKEN)


@pytest.mark.parametrize(("in_process", "replies", "gr1"), [(8, 0, 0x20100000), (5, 3, 0x60100000)])
def test_I49_a_full_queue_takes_nothing(bench, in_process, replies, gr1):
    bench.load(in_process, replies)
    assert nqap(bench) == (REFUSED, gr1, {})
    assert len(bench.steps.waiting) == in_process


@pytest.mark.parametrize(("length", "expected"), [(12288, DONE), (12289, REFUSED), (1 << 40, REFUSED)])
def test_I50_a_message_beyond_the_adapters_limit_is_refused(bench, length, expected):
    condition, gr1, changed = nqap(bench, length)
    assert condition is expected
    if expected is REFUSED:
        assert gr1 == 0x80150000
        assert changed == {}


def test_I51_special_commands_need_apsc(bench):
    assert nqap(bench, gr0=0x40400206) == (REFUSED, 0x80160000, {})
    assert nqap(bench, gr0=0x40400506)[0] is DONE


def type_06(function_id: bytes, domain: int) -> bytes:
    """A coprocessor request with nothing in it but where it goes (hardware.md 3.4, 3.6)."""
    block = bytearray(220)
    block[0:3] = b"\x00\xdc\x02"
    block[6:8] = function_id
    block[170:172] = domain.to_bytes(2, "big")
    header = bytearray(88)
    header[1] = 0x06
    header[16:20] = (88).to_bytes(4, "big")
    header[32:34] = b"CA"
    header[56:60] = len(block).to_bytes(4, "big")
    return bytes(header + block)


@pytest.mark.parametrize(
    ("function_id", "domain", "refused"),
    [(b"T2", 0x33, True), (b"T2", 6, False), (b"T5", 0x40, False), (b"T5", 0x41, True)],
)
def test_I52_a_domain_that_the_program_may_not_use(bench, function_id, domain, refused):
    bench.adapter.firmware = bench.firmware[5]
    message = type_06(function_id, domain)
    bench.memory.write(ADDRESS, message)
    taken = {6: ADDRESS + len(message), 7: 0}
    expected = (REFUSED, 0x80420000, {}) if refused else (DONE, 0x00000000, taken)
    assert nqap(bench, len(message)) == expected


def test_I53_during_a_reset(bench):
    bench.run_reset()
    assert nqap(bench) == (REFUSED, 0x80020000, {})


def test_I54_configured_off(bench):
    bench.configure_off()
    assert nqap(bench) == (REFUSED, 0x80030000, {})


@pytest.mark.parametrize("opcode", [Opcode.NQAP, Opcode.DQAP])
@pytest.mark.parametrize(("r1", "r2"), [(5, 6), (4, 7), (5, 7)])
def test_I55_odd_registers_are_a_specification_exception(bench, opcode, r1, r2):
    before = list(bench.set(gr0=NEEDED[opcode] | 0x506, gr5=ADDRESS, gr6=396, gr7=396).gr)
    with pytest.raises(ProgramCheck) as check:
        bench.execute(opcode, r1=r1, r2=r2)
    assert check.value.code is Interruption.SPECIFICATION
    assert bench.registers.gr == before


@pytest.mark.parametrize("opcode", [Opcode.NQAP, Opcode.DQAP])
def test_I14_nqap_and_dqap_are_for_the_supervisor_state_too(bench, opcode):
    before = list(bench.set(gr0=NEEDED[opcode] | 0x506, gr6=ADDRESS, gr7=396).gr)
    bench.registers.problem_state = True
    with pytest.raises(ProgramCheck) as check:
        bench.execute(opcode)
    assert check.value.code is Interruption.PRIVILEGED_OPERATION
    assert bench.registers.gr == before


@pytest.mark.parametrize("opcode", [Opcode.NQAP, Opcode.DQAP])
@pytest.mark.parametrize(("gr0", "code"), [(0x00000540, 0x00010000), (0x00000306, 0x00010000)], ids=["I7", "I8"])
def test_messages_reach_only_queues_of_the_matrix(bench, opcode, gr0, code):
    before = list(bench.set(gr0=gr0 | NEEDED[opcode], **ID, gr6=ADDRESS, gr7=396).gr)
    assert observe(bench, opcode, before) == (REFUSED, code, {})


@pytest.mark.parametrize("opcode", [Opcode.NQAP, Opcode.DQAP])
@pytest.mark.parametrize("apqn", [0x555, 0x4006], ids=["I9", "I10"])
def test_numbers_beyond_the_machine_are_a_specification_exception(bench, opcode, apqn):
    bench.set(gr0=NEEDED[opcode] | apqn, **ID, gr6=ADDRESS, gr7=396)
    with pytest.raises(ProgramCheck) as check:
        bench.execute(opcode)
    assert check.value.code is Interruption.SPECIFICATION


def refused(bench: Bench, opcode: Opcode, gr0: int, length: int) -> bool:
    """True if the operands are a specification exception that changes nothing."""
    before = list(bench.set(gr0=gr0, **ID, gr6=ADDRESS, gr7=length).gr)
    with pytest.raises(ProgramCheck) as check:
        bench.execute(opcode)
    return check.value.code is Interruption.SPECIFICATION and bench.registers.gr == before


@pytest.mark.parametrize("bit", [32, 34, 35, 40, *range(42, 48)])
def test_I82_nqap_bits_of_gr0_must_be_zero(bench, bit):
    assert refused(bench, Opcode.NQAP, 0x40000506 | 1 << 63 - bit, 396)
    assert status(bench) == 0x80000000


@pytest.mark.parametrize("bit", [33, 34, 35, 40, 41, *range(42, 48)])
def test_I83_dqap_bits_of_gr0_must_be_zero(bench, bit):
    bench.load(0, 1)
    assert refused(bench, Opcode.DQAP, 0x80000506 | 1 << 63 - bit, 12288)
    assert status(bench) == 0x40000000


@pytest.mark.parametrize("opcode", [Opcode.NQAP, Opcode.DQAP])
def test_I84_a_length_of_zero_is_a_specification_exception(bench, opcode):
    assert refused(bench, opcode, NEEDED[opcode] | 0x506, 0)


@pytest.mark.parametrize("length", [12289, 1 << 32, (1 << 64) - 1])
def test_I85_no_buffer_is_longer_than_the_longest_reply(bench, length):
    assert refused(bench, Opcode.DQAP, 0x80000506, length)
    assert refused(bench, Opcode.DQAP, 0x80000306, length)  # where there is no adapter, too


def test_I85_a_card_with_longer_messages_takes_longer_buffers(bench):
    bench.machine.adapters[5].message_limit = 6
    assert dqap(bench, 24576) == (REFUSED, 0x80100000, {})
    assert refused(bench, Opcode.DQAP, 0x80000506, 24577)


def test_the_pair_may_be_gr2_and_gr3(bench):
    before = list(bench.set(gr0=0x40000506, **ID, gr2=ADDRESS, gr3=396).gr)
    bench.execute(Opcode.NQAP, r2=2)
    expected = {**dict(enumerate(before)), 1: 0, 2: ADDRESS + 396, 3: 0}
    assert dict(enumerate(bench.registers.gr)) == expected


def test_I56_a_message_that_crosses_pages_is_taken_in_one_step(bench):
    seen = processed(bench)
    message = bytes(range(256)) * 48
    bench.memory.write(ADDRESS + 0xFF0, message)
    bench.set(gr0=0x40000506, **ID, gr6=ADDRESS + 0xFF0, gr7=12288)
    assert bench.execute(Opcode.NQAP) is DONE  # cc 2 is optional and never given
    assert (bench.registers.gr[6], bench.registers.gr[7]) == (ADDRESS + 0xFF0 + 12288, 0)
    bench.steps.finish()
    assert [request.message for _, request in seen] == [message]


def test_I57_nothing_there_at_all(bench):
    assert dqap(bench) == (REFUSED, 0x80100000, {})
    assert stored(bench) == b""


def test_I58_still_working(bench):
    bench.load(1)
    assert dqap(bench) == (REFUSED, 0x00100000, {})


def test_I59_a_reply_is_delivered_with_its_id(bench):
    nqap(bench)
    bench.steps.finish()
    assert status(bench) == 0x40000000
    assert dqap(bench) == (DONE, 0x80000000, DELIVERED)
    assert bench.registers.gr[2] == 0
    assert stored(bench) == REPLY
    assert status(bench) == 0x80000000


def test_I59_the_left_halves_of_the_id_registers_become_zero(bench):
    before_id = {"gr4": 0xFFFFFFFF_00000539, "gr5": 0xFFFFFFFF_00000001}
    bench.set(gr0=0x40000506, **before_id, gr6=ADDRESS, gr7=396)
    assert bench.execute(Opcode.NQAP) is DONE
    assert (bench.registers.gr[4], bench.registers.gr[5]) == tuple(before_id.values())
    bench.steps.finish()
    bench.set(gr0=0x80000506, gr6=ADDRESS, gr7=12288)
    assert bench.execute(Opcode.DQAP) is DONE
    assert (bench.registers.gr[4], bench.registers.gr[5]) == (0x539, 1)
    assert bench.registers.gr[2] == 0 != POISON[2]


def test_I60_one_is_still_in_process(bench):
    bench.load(1, 1)
    bench.enable()
    assert dqap(bench) == (DONE, 0x01000000, DELIVERED)


def test_I61_another_reply_waits_without_a_new_interruption(bench):
    bell = Bell()
    bench.queue.set_interruption(bell)
    bench.load(0, 2)
    assert bell.rings == 1
    assert dqap(bench) == (DONE, 0x41000000, DELIVERED)
    assert bell.rings == 1


def test_I61_with_interruptions_off(bench):
    bench.load(0, 2)
    assert dqap(bench) == (DONE, 0x40000000, DELIVERED)
    assert dqap(bench) == (DONE, 0x80000000, {**DELIVERED, 5: 2})


def test_I62_an_exact_fit_is_no_truncation(bench):
    bench.load(0, 1)
    condition, gr1, changed = dqap(bench, 292)
    assert (condition, gr1, changed) == (DONE, 0x80000000, {4: 0x539, 5: 1, 6: ADDRESS + 292, 7: 0})
    assert bench.registers.gr[2] == 0
    assert stored(bench) == REPLY


def test_I63_I64_a_short_buffer_gets_the_reply_in_parts(bench):
    bench.load(0, 1)
    condition, _, changed = dqap(bench, 256)
    assert condition in (ConditionCode.PART_STORED, ConditionCode.PARTIAL)
    assert bench.registers.gr[0] != 0
    assert {number: changed[number] for number in (2, 6, 7)} == {2: 36, 6: ADDRESS + 256, 7: 0}
    assert set(changed) <= {0, 2, 6, 7}
    assert stored(bench) == REPLY[:256]
    assert status(bench) == 0x40000000
    continuation = bench.registers.gr[0]
    assert dqap(bench, 256, continuation) == (
        DONE, 0x80000000, {4: 0x539, 5: 1, 6: ADDRESS + 36, 7: 220}
    )  # fmt: skip
    assert bench.registers.gr[2] == 0
    assert stored(bench) == REPLY[256:]
    assert status(bench) == 0x80000000


def test_I63_another_flow_starts_the_message_again(bench):
    bench.load(0, 1)
    dqap(bench, 256)
    assert dqap(bench) == (DONE, 0x80000000, DELIVERED)
    assert stored(bench) == REPLY


def test_I65_three_parts(bench):
    bench.echo.replies = [bytes(range(1, 101)) * 6]
    bench.load(0, 1)
    gr0, seen = 0x80000506, []
    for _ in range(3):
        condition, gr1, _ = dqap(bench, 256, gr0)
        gr0 = bench.registers.gr[0]
        seen.append((condition, bench.registers.gr[2], stored(bench)))
    reply = bytes(range(1, 101)) * 6
    assert seen == [(PART, 344, reply[:256]), (PART, 88, reply[256:512]), (DONE, 0, reply[512:])]
    assert gr1 == 0x80000000


def test_I66_a_position_beyond_the_end(bench):
    bench.load(0, 1)
    assert dqap(bench, gr0=0x0000100080000506) == (REFUSED, 0x40110000, {})
    assert status(bench) == 0x40000000


def test_I67_during_a_reset(bench):
    bench.run_reset()
    assert dqap(bench) == (REFUSED, 0x80020000, {})


def test_I68_configured_off(bench):
    bench.configure_off()
    assert dqap(bench) == (REFUSED, 0x80030000, {})


def test_I69_replies_come_in_the_order_of_their_completion(bench):
    bench.load(2)
    bench.steps.finish(1)
    bench.steps.finish(0)
    ids = []
    for expected in (0x40000000, 0x80000000):
        condition, gr1, _ = dqap(bench)
        assert (condition, gr1) == (DONE, expected)
        ids.append(bench.registers.gr[5])
    assert ids == [2, 1]


def enable_by_aqic(bench: Bench) -> None:
    bench.set(**AQIC_ENABLE)
    assert bench.execute(Opcode.PQAP) is DONE


def indicator(bench: Bench) -> int:
    return bench.memory.read(AQIC_ENABLE["gr2"], 1)[0]


def test_I70_the_byte_is_set_and_an_interruption_made_pending(bench):
    enable_by_aqic(bench)
    bench.load(1)
    assert (indicator(bench), bench.interruptions) == (0, [])
    bench.steps.finish()
    assert (indicator(bench), bench.interruptions) == (1, [6])


def test_I70_the_byte_is_set_before_the_interruption(bench):
    seen = []
    bench.level.interrupt = lambda isc: seen.append((isc, indicator(bench)))
    enable_by_aqic(bench)
    bench.load(0, 1)
    assert seen == [(6, 1)]


def test_I71_a_second_reply_needs_no_interruption(bench):
    enable_by_aqic(bench)
    bench.load(1, 1)
    bench.steps.finish()
    assert bench.interruptions == [6]
    assert status(bench) == 0x41000000


def test_I72_after_the_queue_was_emptied_there_is_a_new_one(bench):
    enable_by_aqic(bench)
    bench.load(0, 1)
    bench.memory.write(AQIC_ENABLE["gr2"], b"\0")
    dqap(bench)
    assert indicator(bench) == 0
    nqap(bench)
    bench.steps.finish()
    assert (indicator(bench), bench.interruptions) == (1, [6, 6])


def test_I73_enabling_while_a_reply_waits_raises_one_at_once(bench):
    bench.load(0, 1)
    bench.set(**AQIC_ENABLE)
    assert (bench.execute(Opcode.PQAP), bench.registers.gr[1]) == (DONE, 0x41000000)
    assert (indicator(bench), bench.interruptions) == (1, [6])


def test_I33_after_disabling_there_is_none(bench):
    enable_by_aqic(bench)
    bench.set(gr0=0x03000506, gr1=0, gr2=0)
    assert bench.execute(Opcode.PQAP) is DONE
    bench.load(0, 1)
    assert (indicator(bench), bench.interruptions) == (0, [])


@pytest.mark.parametrize("code", [ResponseCode.BUSY, ResponseCode.INVALID_DOMAIN])
def test_an_injected_code_takes_nothing(bench, code):
    bench.answer(QueueFunction.NQAP, code)
    assert nqap(bench) == (REFUSED, 0x80000000 | code << 16, {})
    assert nqap(bench) == (DONE, 0x00000000, TAKEN)
