"""The guest's storage: translation, interrupted programs, the table of handlers, the mailbox."""

import fcntl
import os
import struct

import pytest

from apmatrix.arch import ConditionCode, Instruction, Interruption, Opcode, ProgramCheck
from apmatrix.faces.boot.errors import KernelError
from apmatrix.faces.boot.frame import Frame, Psw
from apmatrix.faces.boot.handler import PROGRAM, RESERVED, Mailbox
from apmatrix.faces.boot.kernel import Handlers
from apmatrix.faces.boot.service import DONE, NOT_OURS, ProgramInterruption, Service
from apmatrix.faces.boot.storage import PAGE, AddressSpace, Storage
from support.storage import guest_storage

SIZE = 8 << 20
REGION3, SEGMENTS, PAGES = 0x10000, 0x14000, 0x18000
ASCE = REGION3 | 0x7  # region-third table of full length
KERNEL = 0x3FF_C000_0000  # where the tables below map the kernel
FRAME = KERNEL + 0x2000


@pytest.fixture
def storage():
    with guest_storage(SIZE) as made:
        yield made


@pytest.fixture
def space(storage):
    """Page 0 of KERNEL at 0x20000, 1 protected at 0x23000, 2 and 3 not adjacent; a frame of 1 MiB above them."""
    for table, count in ((REGION3, 2048), (SEGMENTS, 2048)):
        for index in range(count):
            storage.store_word(table + index * 8, 0x20)
    for index in range(256):
        storage.store_word(PAGES + index * 8, 0x400)
    storage.store_word(REGION3 + 2047 * 8, SEGMENTS | 0x07)
    storage.store_word(SEGMENTS + 1024 * 8, PAGES)
    storage.store_word(SEGMENTS + 1025 * 8, 0x300000 | 0x400)
    for index, page in enumerate((0x20000, 0x23000 | 0x200, 0x26000 | 0x100, 0x25000)):
        storage.store_word(PAGES + index * 8, page)
    return AddressSpace(storage, ASCE)


def test_translation(space):
    assert space.translate(KERNEL) == 0x20000
    assert space.translate(KERNEL + 0x3FFF) == 0x25FFF
    assert space.translate(KERNEL + 0x100000 + 0x12345) == 0x312345


def test_a_real_space_translates_to_itself(storage):
    assert AddressSpace(storage, 0x20).translate(0x1234567) == 0x1234567


def test_storage_across_pages_that_are_not_adjacent(space, storage):
    space.write(FRAME + 0xFFE, b"abcd")
    assert storage.read(0x26FFE, 2) + storage.read(0x25000, 2) == b"abcd"
    assert space.read(FRAME + 0xFFE, 4) == b"abcd"


@pytest.mark.parametrize(
    ("address", "code"),
    [
        (0, Interruption.SEGMENT_TRANSLATION),
        (1 << 42, Interruption.SEGMENT_TRANSLATION),
        (KERNEL + 0x200000, Interruption.SEGMENT_TRANSLATION),
        (KERNEL + 0x4000, Interruption.PAGE_TRANSLATION),
    ],
)
def test_what_is_not_mapped(space, address, code):
    with pytest.raises(ProgramCheck) as caught:
        space.read(address, 1)
    assert caught.value.code is code


def test_a_short_table_has_no_entries_behind_its_end(storage, space):
    storage.store_word(REGION3 + 2047 * 8, SEGMENTS | 0x05)  # 1024 entries
    with pytest.raises(ProgramCheck):
        space.read(KERNEL, 1)


def test_protected_page_can_be_read_only(space):
    space.read(KERNEL + 0x1000, 1)
    with pytest.raises(ProgramCheck) as caught:
        space.write(KERNEL + 0xFFF, b"xy")
    assert caught.value.code is Interruption.PROTECTION
    assert space.read(KERNEL + 0xFFF, 1) == b"\0"  # nothing was stored


def test_protection_of_a_segment_counts_for_its_pages(space, storage):
    storage.store_word(SEGMENTS + 1024 * 8, PAGES | 0x200)
    with pytest.raises(ProgramCheck):
        space.check_store(KERNEL, 1)


def test_outside_of_the_storage(space, storage):
    storage.store_word(PAGES, 0x1000_0000)
    with pytest.raises(ProgramCheck) as caught:
        space.read(KERNEL, 1)
    assert caught.value.code is Interruption.ADDRESSING
    assert space.indicator(SIZE) is None
    post = space.indicator(SIZE - 1)
    assert post is not None
    post()
    assert storage.read(SIZE - 1, 1) == b"\1"


# the interrupted program


def interrupt(space, instruction, *, psw=0x0704_0001_8000_0000, registers=range(16)):
    """Let a program at KERNEL + 0x100 be interrupted after ``instruction``."""
    space.storage.write(space.translate(KERNEL + 0x100), instruction)
    saved = struct.pack(">Q", 0xA6) + struct.pack(">18Q", psw, KERNEL + 0x104, *registers)
    space.write(FRAME, saved + struct.pack(">QIIQ", 7, 0x0004_0001, 0, 0))


def saved_words(space):
    return struct.unpack(">19Q", space.read(FRAME, 152))


def test_psw_fields():
    psw = Psw(0x0705_E001_8000_0000 << 64 | 0x1234)
    assert (psw.dat, psw.problem_state, psw.address_space, psw.condition_code, psw.address) == (
        True,
        True,
        3,
        2,
        0x1234,
    )


def test_an_instruction_is_executed(space):
    interrupt(space, bytes.fromhex("b2ae0042"))
    seen = []

    def execute(instruction, registers, memory):
        seen.append((instruction, list(registers.gr), registers.problem_state))
        registers.gr[1] = 0x1111_2222_3333_4444
        assert memory.read(KERNEL + 0x100, 2) == b"\xb2\xae"
        return ConditionCode.REFUSED

    service = Service(execute, space.storage)
    assert service.serve(FRAME, ASCE, 0) is DONE
    assert seen == [(Instruction(Opcode.DQAP, 4, 2), list(range(16)), False)]
    assert saved_words(space) == (
        0xA6,
        0x0704_3001_8000_0000,
        KERNEL + 0x104,
        0,
        0x1111_2222_3333_4444,
        *range(2, 16),
    )
    assert service.executed == 1


def test_a_program_check_of_the_instruction_changes_nothing_but_the_code(space):
    interrupt(space, bytes.fromhex("b2af0000"))
    before = space.read(FRAME, 152)

    def execute(instruction, registers, memory):
        registers.gr[1] = 99
        raise ProgramCheck(Interruption.SPECIFICATION, "no")

    assert Service(execute, space.storage).serve(FRAME, ASCE, 0) == ProgramInterruption(Interruption.SPECIFICATION)
    assert space.read(FRAME, 152) == before
    assert space.read(FRAME + 160, 4) == bytes.fromhex("00040006")


def never(instruction, registers, memory):
    raise AssertionError(f"{instruction} was executed")


def test_other_instructions_are_left_to_the_kernel(space):
    interrupt(space, bytes.fromhex("00020000"))
    service = Service(never, space.storage)
    assert service.serve(FRAME, ASCE, 0) is NOT_OURS
    assert service.executed == 0


def test_a_program_in_the_problem_state_is_in_its_own_address_space(space):
    interrupt(space, bytes(4), psw=0x0705_0001_8000_0000)
    user = AddressSpace(space.storage, 0x20)  # real: its addresses are absolute ones
    space.storage.write(0x500, bytes.fromhex("b2af0000"))
    space.storage.store_word(space.translate(FRAME) + 16, 0x504)

    def execute(instruction, registers, memory):
        assert registers.problem_state
        raise ProgramCheck(Interruption.PRIVILEGED_OPERATION, "no")

    outcome = Service(execute, space.storage).serve(FRAME, ASCE, user.asce.value)
    assert outcome == ProgramInterruption(Interruption.PRIVILEGED_OPERATION)


def test_an_unmapped_instruction_is_left_to_the_kernel(space):
    interrupt(space, bytes(4), psw=0x0705_0001_8000_0000)
    assert Service(never, space.storage).serve(FRAME, ASCE, ASCE) is NOT_OURS
    frame = Frame.read(space, FRAME)
    assert frame.registers.problem_state


# the table of handlers


def handlers(logical):
    """A table as kernels have it, of distinct handlers except where theirs are shared."""
    slots = [logical + 0x1000 + code * 16 for code in range(128)]
    for code in (0, *range(0x41, 128)):
        slots[code] = logical
    for one, other in ((0x08, 0x0A), (0x09, 0x0B), (0x10, 0x11)):
        slots[other] = slots[one]
    return slots


def place(storage, slots, address=0x345678):
    storage.write(address, struct.pack(">128Q", *slots))
    return address


def test_the_table_is_found_and_a_slot_replaced(storage):
    slots = handlers(KERNEL)
    address = place(storage, slots)
    found = Handlers.find(storage, 0x200000, KERNEL)
    assert found.addresses == tuple(slots)
    assert found.of(Interruption.OPERATION) == slots[1]
    found.replace(storage, Interruption.OPERATION, 0xABC0)
    assert storage.word(address + 8) == 0xABC0
    assert found.of(Interruption.OPERATION) == slots[1]


def decoys():
    """Tables that are almost one."""
    jump_table = handlers(KERNEL)
    jump_table[1] = jump_table[3]
    yield "shared operation exception", jump_table
    elsewhere = [slot + (1 << 32) for slot in handlers(KERNEL)]
    yield "not this kernel's code", elsewhere
    other_default = handlers(KERNEL)
    other_default[0] += 2
    yield "code 0 is not the default", other_default
    odd = handlers(KERNEL)
    odd[5] += 1
    yield "odd address", odd
    divides = handlers(KERNEL)
    divides[0x0B] += 2
    yield "divides differ", divides


@pytest.mark.parametrize(("why", "slots"), list(decoys()))
def test_what_only_looks_like_the_table(storage, why, slots):
    place(storage, slots)
    with pytest.raises(KernelError, match="was not found"):
        Handlers.find(storage, 0x200000, KERNEL)
    genuine = place(storage, handlers(KERNEL), 0x456780)
    assert Handlers.find(storage, 0x200000, KERNEL).table == genuine


def test_long_runs_of_equal_words_are_no_table(storage):
    storage.write(0x100000, struct.pack(">Q", KERNEL) * 0x10000)
    with pytest.raises(KernelError):
        Handlers.find(storage, 0x200000, KERNEL)


# the mailbox


def test_the_mailbox_is_mapped_where_the_kernel_has_nothing(space, storage):
    mailbox = Mailbox.install(space, FRAME, 2)
    base = SIZE - RESERVED
    assert space.read(mailbox.entry, len(PROGRAM)) == PROGRAM
    assert space.translate(mailbox.entry) == base
    assert space.translate(mailbox.entry + 4096, store=True) == base + 4096
    program, slots = space.page(mailbox.entry), space.page(mailbox.entry + 4096)
    assert (program.protected, program.no_execution) == (True, False)
    assert (slots.protected, slots.no_execution) == (False, True)  # as the page of FRAME
    assert space.page(mailbox.entry + 2 * 4096).invalid
    assert space.translate(KERNEL) == 0x20000


def test_no_execution_is_not_asked_for_where_the_kernel_does_not_know_it(space):
    mailbox = Mailbox.install(space, KERNEL, 1)
    assert not space.page(mailbox.entry + 4096).no_execution


def test_exceptions_and_answers_per_processor(space, storage):
    mailbox = Mailbox.install(space, FRAME, 2)
    slot = SIZE - RESERVED + 4096 + 128
    assert mailbox.pending() == []
    storage.write(slot + 8, struct.pack(">14Q", FRAME, *range(101, 114)))
    storage.write(slot, bytes.fromhex("00000001"))
    (pending,) = mailbox.pending()
    assert (pending.frame, pending.control) == (FRAME, tuple(range(101, 114)))
    mailbox.answer(pending, 0x1230)
    assert storage.read(slot, 4) == bytes.fromhex("00000002")
    assert storage.word(slot + 120) == 0x1230
    assert mailbox.pending() == []


def test_a_kernel_that_uses_the_reserved_storage_gets_no_mailbox(space, storage):
    storage.write(SIZE - 1, b"x")
    with pytest.raises(KernelError, match="mem="):
        Mailbox.install(space, FRAME, 1)


def test_a_full_address_space_gets_no_mailbox(space, storage):
    for index in range(2048):
        storage.store_word(REGION3 + index * 8, SEGMENTS | 0x07)
    with pytest.raises(KernelError, match="no room"):
        Mailbox.install(space, FRAME, 1)


def test_too_many_processors(space):
    with pytest.raises(KernelError, match="up to 32"):
        Mailbox.install(space, FRAME, 33)


def test_storage_can_never_become_shorter():
    """Otherwise a read of what is gone would end the machine with SIGBUS."""
    with guest_storage(4 * PAGE) as storage:
        with pytest.raises(PermissionError):
            os.ftruncate(storage.fd, 0)
        assert storage.read(3 * PAGE, PAGE) == bytes(PAGE)


@pytest.mark.parametrize(
    ("seals", "size", "said"),
    [
        (0, PAGE, "the storage is not shared memory that is sealed against shrinking"),
        (fcntl.F_SEAL_GROW, PAGE, "the storage is not shared memory that is sealed against shrinking"),
        (fcntl.F_SEAL_SHRINK, 0, "the storage has 4096 bytes, not 0"),
        (fcntl.F_SEAL_SHRINK, PAGE + 1, "the storage has 4096 bytes, not 4097"),
        (fcntl.F_SEAL_SHRINK, 1 << 80, "the storage has 4096 bytes, not "),
        (fcntl.F_SEAL_SHRINK, -1, "the storage has 4096 bytes, not -1"),
    ],
)
def test_storage_that_could_be_taken_away_is_refused(seals, size, said):
    descriptor = os.memfd_create("guest", os.MFD_ALLOW_SEALING)
    try:
        os.ftruncate(descriptor, PAGE)
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, seals)
        with pytest.raises(ValueError, match=said):
            Storage(descriptor, size)
    finally:
        os.close(descriptor)


def test_a_file_is_no_storage(tmp_path):
    (tmp_path / "file").write_bytes(bytes(PAGE))
    with (tmp_path / "file").open("r+b") as file, pytest.raises(ValueError, match="sealed against shrinking"):
        Storage(file.fileno(), PAGE)
