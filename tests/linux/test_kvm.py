"""KVM's AQIC under trouble, the groups of mdevs, and what VMs share (host.md 5 and 6)."""

from __future__ import annotations

import pytest

from apmatrix.arch import (
    Apqn,
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
from apmatrix.cards import QueueFunction
from apmatrix.linux import Refused
from apmatrix.machine import FlatMemory, execute
from support.host import FACILITIES, TYPE, U1, U2, U3, Documented

Code = ResponseCode
QUEUE = Apqn(5, 4)


@pytest.fixture
def guest():
    """Guest 1 of HX on a machine with interrupts; whoever waits moves the time on."""
    documented = Documented(facilities=(*FACILITIES, Facility.AQIC))
    documented.host.clock.automatic = True
    started = documented.mdevs[0].start()
    documented.host.log()
    yield documented.host, started
    documented.host.close()


def aqic(host, guest, gr1, gr2, memory=None):
    """The response code that the guest's program gets."""
    gr = [0x03000504, gr1, gr2, *[0] * 13]
    registers = Registers(gr)
    execute(host.machine, guest.level, Instruction(Opcode.PQAP), registers, memory or FlatMemory(0x4000))
    return registers.gr[1] >> 16 & 0xFF


ENABLE = (0x0000800000000005, 0x2345)
DISABLE = (0, 0)


@pytest.mark.parametrize("code", [Code.RESET_IN_PROGRESS, Code.BUSY])
@pytest.mark.parametrize(("refusals", "tries", "answer"), [(3, 4, 0), (5, 6, 0), (6, 6, None), (20, 6, None)])
def test_KVM_35_disabling_is_tried_six_times(guest, code, refusals, tries, answer):
    host, vm = guest
    assert aqic(host, vm, *ENABLE) == 0
    host.witness.seen.clear()
    host.answer(QueueFunction.AQIC, [code] * refusals, "05.0004")
    start = host.clock.now()
    assert aqic(host, vm, *DISABLE) == (code if answer is None else answer)
    assert host.witness.count(QueueFunction.AQIC, "05.0004") == tries
    assert host.clock.now() - start == pytest.approx(0.02 * (tries - 1))


def test_KVM_34_another_code_is_reported_and_ends_the_interruptions(guest):
    host, vm = guest
    memory = FlatMemory(0x4000)
    assert aqic(host, vm, *ENABLE, memory) == 0
    host.answer(QueueFunction.AQIC, [Code.INVALID_GISA], "05.0004")
    assert aqic(host, vm, 0x0000800000000003, 0x3000, memory) == Code.INVALID_GISA
    assert any("PQAP(AQIC) for 05.0004" in line for line in host.log())
    assert not host.machine.port(vm.level, QUEUE).tapq()[0].interrupts_enabled


def test_KVM_34_a_second_registration_leaves_the_first(guest):
    host, vm = guest
    memory = FlatMemory(0x4000)
    seen: list[int] = []
    vm.level.interrupt = seen.append
    assert aqic(host, vm, *ENABLE, memory) == 0
    assert aqic(host, vm, *ENABLE, memory) == Code.OTHERWISE_CHANGED
    assert host.machine.port(vm.level, QUEUE).nqap(1, b"request").ok
    assert (memory.read(0x2345, 1), seen) == (b"\x01", [5])


def test_KVM_45_nested_guests_have_no_interrupts(guest):
    host, outer = guest
    linux = outer.vm.linux
    linux.sysfs.write("bus/ap/apmask", b"\n")
    linux.sysfs.write(f"{TYPE}/create", U2.encode())
    linux.sysfs.write(f"devices/vfio_ap/matrix/{U2}/ap_config", f"{Mask.of(5)},{Mask.of(4)},\n".encode())
    inner = linux.vmm.start(U2)
    assert linux.sysfs.read("bus/ap/ap_interrupts") == b"1\n"
    assert inner.linux.sysfs.read("bus/ap/ap_interrupts") == b"0\n"
    with pytest.raises(ProgramCheck) as check:
        aqic(host, inner, *ENABLE)
    assert check.value.code is Interruption.SPECIFICATION


def test_KVM_35_an_unexpected_code_is_reported(guest):
    host, vm = guest
    assert aqic(host, vm, *ENABLE) == 0
    host.answer(QueueFunction.AQIC, [Code.INVALID_GISA], "05.0004")
    assert aqic(host, vm, *DISABLE) == Code.INVALID_GISA
    assert any("PQAP(AQIC) for 05.0004" in line for line in host.log())


def groups(host):
    return host.sysfs.list("kernel/iommu_groups")


def test_the_lowest_free_group_is_taken(guest):
    host, _ = guest
    assert groups(host) == ["0", "1", "2"]
    assert host.write(f"devices/vfio_ap/matrix/{U2}/remove", "1") == "ok"
    assert groups(host) == ["0", "2"]
    host.create(U2)
    assert groups(host) == ["0", "1", "2"]
    assert host.sysfs.list("kernel/iommu_groups/1/devices") == [U2]


def test_names_of_vms_are_unique(guest):
    host, vm = guest
    with pytest.raises(Refused, match=vm.vm.name):
        host.system.vmm.create_vm(vm.vm.name)
    assert host.system.vmm.find(U1) is vm.vm
    assert host.system.vmm.find(vm.vm.name) is vm.vm
    with pytest.raises(Refused, match="nobody"):
        host.system.vmm.find("nobody")


def test_a_vm_that_could_not_open_its_device_is_gone(guest):
    host, vm = guest
    before = list(host.system.vmm.vms)
    with pytest.raises(Refused):
        host.system.vmm.start(U1, "second")
    assert host.system.vmm.vms == before
    assert [level.name for level in host.lpar.level.children] == [vm.level.name]


def test_a_vm_that_ends_leaves_its_level(guest):
    host, vm = guest
    vm.stop()
    assert vm.level.effective == Matrix()
    assert host.lpar.level.children == []
    assert host.system.vmm.vms == []


def test_a_vmm_that_is_asked_gives_its_device_back():
    documented = Documented()
    host, mdev = documented.host, documented.mdevs[0]
    vm = host.system.vmm.start(U1)
    linux = vm.linux
    assert len(linux.sysfs.list("bus/ap/devices")) == 6
    writer = host.background(lambda: mdev.write("remove", "1"))
    assert linux.sysfs.list("bus/ap/devices") == []
    host.clock.advance(0)
    assert writer.finish() == "ok"
    assert not vm.files
    assert vm in host.system.vmm.vms
    assert host.status("05.0004") == "unassigned\n"
    host.close()


def test_MTX_91_a_queue_that_is_unbound_is_no_longer_the_guests(guest):
    host, started = guest
    assert host.unbind("vfio_ap", "05.0004") == "ok"
    assert aqic(host, started, *ENABLE) == Code.NOT_AVAILABLE
    host.witness.seen.clear()
    started.file.reset()
    assert host.witness.zeroized() == {"05.00ab", "06.0004", "06.00ab"}
    assert host.write(f"devices/vfio_ap/matrix/{U1}/unassign_domain", "4") == "ok"  # the queue is in no list any more
    assert host.bind("vfio_ap", "05.0004") == "ok"
    assert host.status("05.0004") == "unassigned\n"


def test_MTX_36_a_guest_loses_its_control_domains_one_by_one(guest):
    host, started = guest
    path = f"devices/vfio_ap/matrix/{U1}"
    for domain in (4, 0x47, 3):  # 3 is not the host's
        assert host.write(f"{path}/assign_control_domain", f"{domain}") == "ok"
    changes = started.changes
    assert started.level.matrix.adm == Mask.of(4, 0x47)
    for domain, left, events in ((3, (4, 0x47), 0), (4, (0x47,), 1), (4, (0x47,), 1), (0x47, (), 2)):
        assert host.write(f"{path}/unassign_control_domain", f"{domain}") == "ok"
        assert (started.level.matrix.adm, started.changes - changes) == (Mask.of(*left), events)


def test_a_removed_mdev_leaves_no_link_at_its_type(guest):
    host, _ = guest
    assert host.sysfs.list(f"{TYPE}/devices") == sorted((U1, U2, U3))
    assert host.write(f"devices/vfio_ap/matrix/{U2}/remove", "1") == "ok"
    assert host.sysfs.list(f"{TYPE}/devices") == sorted((U1, U3))
