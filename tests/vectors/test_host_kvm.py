"""Vectors V121 to V133: what guests and their guests can do (host.md 8.10), and I40, I41 of hardware.md 8.1."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

import pytest

from apmatrix.arch import (
    Apqn,
    ConditionCode,
    CrycbFormat,
    Facility,
    Instruction,
    Interruption,
    Mask,
    Matrix,
    Opcode,
    ProgramCheck,
    Registers,
    ResponseCode,
)
from apmatrix.cards import QueueFunction, ScriptedAnswers
from apmatrix.linux import Refused
from apmatrix.machine import FlatMemory, Level, ValidityInterception, check_entry, execute
from support.bench import POISON
from support.host import FACILITIES, H0_MATRIX, U1, U2, Documented, Host, h1

DONE, REFUSED = ConditionCode.DONE, ConditionCode.REFUSED
FORMAT_0, FORMAT_1, FORMAT_2 = CrycbFormat
AQIC = 0x03000000
ENABLE = 0x0000800000000005
NIB = 0x2345


@dataclass
class Program:
    """A program in a guest."""

    host: Host
    level: Level

    def __post_init__(self) -> None:
        self.memory = FlatMemory(0x10000)
        self.interruptions: list[int] = []
        self.level.interrupt = self.interruptions.append

    def execute(self, gr0, gr1=None, gr2=None, opcode=Opcode.PQAP, problem_state=False):
        """Condition code, GR1, GR2."""
        gr = list(POISON)
        gr[0] = gr0
        gr[1] = POISON[1] if gr1 is None else gr1
        gr[2] = POISON[2] if gr2 is None else gr2
        gr[6], gr[7] = 0x1000, 64
        registers = Registers(gr, problem_state)
        condition = execute(self.host.machine, self.level, Instruction(opcode, 4, 6), registers, self.memory)
        return condition, registers.gr[1], registers.gr[2]


@pytest.fixture
def with_interrupts(make_host):
    """HX on a machine with facility 65."""
    documents = []

    def make():
        documents.append(Documented(facilities=(*FACILITIES, Facility.AQIC)))
        return documents[-1].host

    make_host(make)
    return documents[0]


@pytest.fixture
def program(with_interrupts):
    """A program in guest 1."""
    return Program(with_interrupts.host, with_interrupts.mdevs[0].start().level)


def test_V121_qci_in_the_guest(hx):
    assert hx.mdevs[0].write("assign_control_domain", "0x10") == "ok"
    assert hx.mdevs[0].write("assign_control_domain", "3") == "ok"
    guest = hx.mdevs[0].start()
    block = hx.host.machine.qci(guest.level)
    assert block.matrix == Matrix(Mask.of(5, 6), Mask.of(4, 0xAB), Mask.of(0x10))
    assert (block.highest_adapter, block.highest_domain) == (63, 255)
    assert block.feature_names() == ("APSC", "APXA", "QACT", "RC8A")


def test_V121_the_guests_linux_sees_these_devices(hx):
    linux = hx.mdevs[0].start().vm.linux
    assert linux.sysfs.list("bus/ap/devices") == ["05.0004", "05.00ab", "06.0004", "06.00ab", "card05", "card06"]
    assert linux.sysfs.read("bus/ap/bindings") == b"4/4 (complete)\n"
    assert linux.sysfs.read("bus/ap/ap_adapter_mask") == b"0x06" + b"0" * 62 + b"\n"


def test_V122_a_queue_that_is_not_the_guests(hx):
    program = Program(hx.host, hx.mdevs[0].start().level)
    assert program.execute(0x00800547) == (REFUSED, 0x00010000, 0)
    assert program.execute(0x00800504)[0] is DONE


@pytest.mark.parametrize("gr1", [ENABLE, 0])
@pytest.mark.parametrize("apqn", [0x0547, 0x0733], ids=["V123", "I40"])
def test_aqic_of_a_queue_that_is_not_the_guests(program, apqn, gr1):
    assert program.execute(AQIC | apqn, gr1, NIB) == (REFUSED, 0x00010000, NIB)


def test_V123_I41_without_a_device_the_status_lands_in_the_high_word(with_interrupts):
    host = with_interrupts.host
    program = Program(host, host.system.vmm.create_vm("no device").level)
    assert program.execute(AQIC | 0x0504, 0x0000800000000006, NIB) == (REFUSED, 0x0001000000000006, NIB)


def test_VFIO_4_the_hook_stays_until_the_last_close(program):
    """The first file that was opened is not special: another one keeps the device with its VM."""
    (vm,) = program.host.system.vmm.vms
    (first,), second = vm.files, vm.open(U1)
    first.close()
    assert vm.files == (second,)
    assert program.execute(AQIC | 0x0504, ENABLE, NIB)[0] is DONE
    with pytest.raises(Refused):
        vm.open(U2)
    second.close()
    assert program.execute(AQIC | 0x0504, 0x0000800000000006, NIB) == (REFUSED, 0x0001000000000006, NIB)
    vm.open(U2)


@pytest.mark.parametrize("address", [0, 0x10000, 1 << 40])
def test_V124_the_indicator_is_in_the_guests_storage(program, address):
    assert program.execute(AQIC | 0x0504, ENABLE, address) == (REFUSED, 0x00060000, address)
    assert not program.host.machine.port(program.level, Apqn(5, 4)).tapq()[0].interrupts_enabled


def deliver(program, apqn):
    """A reply arrives on a queue of the guest."""
    assert program.host.machine.port(program.level, Apqn.from_code(apqn)).nqap(1, b"request").ok


def test_V125_enabling_twice(program):
    first = program.execute(AQIC | 0x0504, ENABLE, NIB)
    assert (first[0], first[1] & 0xFFFFFFFF_00FF0000) == (DONE, 0)
    condition, gr1, _ = program.execute(AQIC | 0x0504, ENABLE, NIB)
    assert (condition, gr1 & 0xFFFFFFFF_00FF0000) == (REFUSED, 0x00070000)
    deliver(program, 0x0504)
    assert program.memory.read(NIB - 1, 3) == b"\x00\x01\x00"
    assert program.interruptions == [5]


def test_V125_disabling(program):
    program.execute(AQIC | 0x0504, ENABLE, NIB)
    assert program.execute(AQIC | 0x0504, 0, 0)[0] is DONE
    deliver(program, 0x0504)
    assert (program.memory.read(NIB, 1), program.interruptions) == (b"\x00", [])


def test_V125_unassigning_ends_the_guests_interruptions(program):
    program.execute(AQIC | 0x0504, ENABLE, NIB)
    mdev = "devices/vfio_ap/matrix/" + U1
    assert program.host.write(f"{mdev}/unassign_adapter", "5") == "ok"
    assert program.host.write(f"{mdev}/assign_adapter", "5") == "ok"
    deliver(program, 0x0504)
    assert program.interruptions == []


def pinned(program, apqn):
    """True if the host keeps a page of the guest for its interruptions of a queue."""
    mdev = program.host.system.vfio_ap.lifecycle.mdevs[U1]
    return mdev.queues[Apqn.from_code(apqn)].interrupt is not None


def vfio_reset(program):
    (vm,) = program.host.system.vmm.vms
    (file,) = vm.files
    with contextlib.suppress(Refused):  # EIO, where a queue has a response code
        file.reset()


@pytest.mark.parametrize(
    "answers",
    [[], [ResponseCode.RESET_IN_PROGRESS], [ResponseCode.DECONFIGURED], [ResponseCode.NOT_AVAILABLE]],
    ids=["00", "02", "03", "01"],
)
def test_MTX_72_a_finished_reset_forgets_the_guests_page(program, answers):
    """After 00 and 02 when TAPQ says that it is over, after 03 and 01 at once."""
    program.host.clock.automatic = True
    for apqn in (0x0504, 0x05AB):
        program.execute(AQIC | apqn, ENABLE, NIB)
    assert pinned(program, 0x0504)
    program.host.machine.adapters[5].filters.add(ScriptedAnswers(QueueFunction.ZAPQ, answers))
    vfio_reset(program)
    assert not pinned(program, 0x0504)
    assert not pinned(program, 0x05AB)


def test_MTX_72_what_stays_in_reset_keeps_the_page(program):
    """Linux unpins it when the reset is over, and not before: the card may still write there."""
    program.execute(AQIC | 0x0504, ENABLE, NIB)
    adapter = program.host.machine.adapters[5]
    stuck = ScriptedAnswers(QueueFunction.TAPQ, [ResponseCode.BUSY], apqns=[Apqn(5, 4)], forever=True)
    adapter.filters.add(stuck)
    resetting = program.host.background(lambda: vfio_reset(program))
    program.host.clock.until_waits(1)
    with program.host.system.kernel:
        assert pinned(program, 0x0504)
    adapter.filters.remove(stuck)
    program.host.clock.advance(1)
    resetting.finish()
    assert not pinned(program, 0x0504)


def test_KVM_35_disabling_forgets_the_guests_page(program):
    program.execute(AQIC | 0x0504, ENABLE, NIB)
    program.execute(AQIC | 0x0504, 0, 0)
    assert not pinned(program, 0x0504)


def check_of(program, *arguments, **options):
    with pytest.raises(ProgramCheck) as check:
        program.execute(*arguments, **options)
    return check.value.code


def test_V126_problem_state(program):
    assert check_of(program, AQIC | 0x0504, ENABLE, NIB, problem_state=True) is Interruption.PRIVILEGED_OPERATION


@pytest.mark.parametrize("bit", range(41, 48))
def test_V126_reserved_bits(program, bit):
    assert check_of(program, AQIC | 0x0504 | 1 << 63 - bit, ENABLE, NIB) is Interruption.SPECIFICATION


def test_V126_the_problem_state_comes_first(program):
    code = check_of(program, AQIC | 0x00010504, ENABLE, NIB, problem_state=True)
    assert code is Interruption.PRIVILEGED_OPERATION


def test_V126_without_facility_65(hx):
    program = Program(hx.host, hx.mdevs[0].start().level)
    assert check_of(program, AQIC | 0x0504, ENABLE, NIB) is Interruption.SPECIFICATION


def test_V126_a_guest_without_apxa_has_64_adapters_and_16_domains(with_interrupts):
    guest = with_interrupts.mdevs[0].start(form=FORMAT_1)
    program = Program(with_interrupts.host, guest.level)
    assert check_of(program, AQIC | 0x0510, ENABLE, NIB) is Interruption.SPECIFICATION
    assert check_of(program, AQIC | 0x4004, ENABLE, NIB) is Interruption.SPECIFICATION
    assert program.execute(AQIC | 0x0504, ENABLE, NIB)[0] is DONE


def test_V127_a_filtered_queue_that_is_linked(with_interrupts):
    host = with_interrupts.host
    assert host.unbind("vfio_ap", "05.00ab") == "ok"
    guest = with_interrupts.mdevs[0].start()
    assert guest.level.matrix.apm == Mask.of(6)
    program = Program(host, guest.level)
    host.witness.seen.clear()
    assert program.execute(AQIC | 0x0504, ENABLE, NIB)[0] is DONE
    assert host.witness.count(QueueFunction.AQIC, "05.0004") == 1


@pytest.mark.parametrize("form", [FORMAT_0, FORMAT_1])
def test_V128_short_control_blocks_lose_bits(make_host, form):
    host = make_host(
        cards={5: "CEX5C", 70: "CEX5A"},
        matrix=Matrix(Mask.of(5, 70), Mask.of(4, 20), Mask.of(4, 20)),
        max_adapter=255,
    )
    assert host.apmask("\n") == "ok"
    mdev = host.create().assigned((5, 70), (4, 20))
    for domain in (4, 20):
        assert mdev.write("assign_control_domain", str(domain)) == "ok"
    level = mdev.start(form=form).level
    assert level.matrix == Matrix(Mask.of(5), Mask.of(4), Mask.of(4))
    assert bytes(level.block)[:0x18].hex() == "0400000000000000" + "0800000000000000" * 2
    assert not any(bytes(level.block)[0x18:])
    assert mdev.guest_matrix == "05.0004|05.0014|46.0004|46.0014"
    assert {host.status(queue) for queue in host.queues()} == {"in use\n"}


@pytest.fixture
def nested(h1_host):
    """G2 has 5, 6 x 4, 0xab and gives queues to guests of its own."""
    outer = h1_host.create().assigned((5, 6), (4, "0xab")).start()
    linux = outer.vm.linux
    linux.sysfs.write("bus/ap/apmask", b"\n")
    linux.sysfs.write("devices/vfio_ap/matrix/mdev_supported_types/vfio_ap-passthrough/create", U2.encode())
    return h1_host, outer, linux


def give(linux, adapters, domains):
    """Configure the mdev in G2."""
    config = f"{Mask.of(*adapters)},{Mask.of(*domains)},\n"
    linux.sysfs.write(f"devices/vfio_ap/matrix/{U2}/ap_config", config.encode())


def test_V129_a_nested_guest_has_what_both_allow(nested):
    host, _, linux = nested
    give(linux, (5, 7), (4, 5))
    inner = linux.vmm.start(U2)
    assert host.machine.qci(inner.level).matrix == Matrix(Mask.of(5), Mask.of(4))
    assert [name for name in inner.linux.sysfs.list("bus/ap/devices") if "." in name] == ["05.0004"]
    program = Program(host, inner.level)
    assert program.execute(0x00800504)[0] is DONE
    assert program.execute(0x008005AB) == (REFUSED, 0x00010000, 0)


def test_V129_the_masks_are_anded_bit_by_bit(nested):
    _, _, linux = nested
    inner = linux.vmm.create_vm("inner").level
    inner.set_matrix(Matrix(Mask.of(5, 7), Mask.of(4, 5), Mask.of(4)))
    assert inner.effective == Matrix(Mask.of(5), Mask.of(4))


def test_V130_a_nested_guest_of_format_1(nested):
    host, _, linux = nested
    give(linux, (5,), (0xAB,))
    inner = linux.vmm.start(U2, form=FORMAT_1)
    assert host.machine.qci(inner.level).matrix == Matrix(Mask.of(5))
    assert [name for name in inner.linux.sysfs.list("bus/ap/devices") if "." in name] == []


@pytest.mark.parametrize(
    ("outer", "origin", "form", "code"),
    [(FORMAT_2, 0, FORMAT_2, 0x0039), (FORMAT_2, 0x1F80, FORMAT_2, 0x003C), (FORMAT_1, 0x1000, FORMAT_2, 0x0022)],
    ids=["V131-0039", "V131-003C", "V131-0022"],
)
def test_control_blocks_that_cannot_be_entered(outer, origin, form, code):
    with pytest.raises(ValidityInterception) as refused:
        check_entry(outer, origin, form)
    assert refused.value.code == code


def test_V132_a_change_at_the_host_reaches_the_nested_guest_at_once(nested):
    host, _, linux = nested
    give(linux, (5,), (4,))
    inner = linux.vmm.start(U2)
    deliver_to = Apqn(5, 4)
    assert host.machine.port(inner.level, deliver_to).nqap(1, b"request").ok
    assert host.write(f"devices/vfio_ap/matrix/{U1}/unassign_adapter", "5") == "ok"
    assert Program(host, inner.level).execute(0x00800504) == (REFUSED, 0x00010000, 0)
    assert inner.level.matrix == Matrix(Mask.of(5), Mask.of(4))  # G2 has done nothing
    assert host.machine.port(host.lpar.level, deliver_to).tapq()[0].empty


@pytest.mark.parametrize(
    ("opcode", "gr0"), [(Opcode.PQAP, 0x0504), (Opcode.NQAP, 0x40000504), (Opcode.DQAP, 0x80000504)]
)
def test_V133_without_apie_in_the_guest_its_guest_is_intercepted(nested, opcode, gr0):
    host, outer, linux = nested
    give(linux, (5,), (4,))
    inner = linux.vmm.start(U2)
    assert inner.level.hypervisor is linux.kvm
    outer.level.interpret = False
    assert check_of(Program(host, inner.level), gr0, opcode=opcode) is Interruption.OPERATION


def test_V133_a_guest_without_apie_gets_an_operation_exception(hx):
    level = hx.mdevs[0].start().level
    level.interpret = False
    assert check_of(Program(hx.host, level), 0x0504) is Interruption.OPERATION


def test_KVM_2_the_format_follows_the_facilities(make_host):
    forms = {
        FORMAT_2: make_host(h1),
        FORMAT_1: make_host(features=("APSC",), matrix=Matrix(Mask.of(5), Mask.of(4), Mask.of(4))),
        FORMAT_0: make_host(facilities=(Facility.QCI, Facility.APFT)),
    }
    assert [host.system.vmm.create_vm("vm").level.form for host in forms.values()] == list(forms)
    assert forms[FORMAT_2].lpar.profile.matrix == H0_MATRIX
