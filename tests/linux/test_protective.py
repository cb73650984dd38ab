"""policy = "protective": each limitation of host.md section 11 that is lifted, against what Linux does."""

from __future__ import annotations

import pytest

from apmatrix.arch import (
    Apqn,
    CrycbFormat,
    Facility,
    FunctionCode,
    Instruction,
    Mask,
    Matrix,
    Opcode,
    Registers,
    ResponseCode,
)
from apmatrix.cards import QueueFunction, ScriptedAnswers
from apmatrix.linux import Refused
from apmatrix.machine import FlatMemory, execute
from apmatrix.rules.findings import Holder
from support.host import FEATURES, ONES, TYPE, U1, U2, ZEROS, Documented, Guest, Host, h1

GOOD_MASK = "0x06" + "0" * 62


@pytest.fixture(params=["protective", "linux"])
def policy(request):
    """Each test says what the policy changes, and that Linux is otherwise."""
    return request.param


@pytest.fixture
def protective(policy):
    return policy == "protective"


def refusal(host, path, data):
    """The Refused that caused a failed write."""
    with pytest.raises(OSError) as caught:
        host.sysfs.write(path, data.encode())
    assert isinstance(caught.value.__cause__, Refused)
    return caught.value.__cause__


def test_1_a_held_queue_cannot_be_unbound(policy, protective):
    host = h1(policy=policy)
    host.create().assigned((5,), (4,))
    assert host.unbind("vfio_ap", "05.0004") == ("EBUSY" if protective else "ok")
    assert host.driver("05.0004") == ("vfio_ap" if protective else "-")
    assert host.unbind("vfio_ap", "05.0047") == "ok"  # nobody holds it
    if protective:
        why = refusal(host, "bus/ap/drivers/vfio_ap/unbind", "05.0004")
        assert why.holder == Holder("mdev", uuid=U1)
        assert [str(apqn) for apqn in why.apqns] == ["05.0004"]
        assert why.remedy
        assert any("05.0004" in line and U1 in line for line in host.log())


def test_1_a_held_queue_cannot_be_overridden(policy, protective):
    host = Host(policy=policy)
    assert host.override("05.0004", "vfio_ap\n") == "ok"
    assert host.unbind("cex4queue", "05.0004") == "ok"
    assert host.probe("05.0004") == "ok"
    host.create().assigned((5,), (4,))
    for name in ("cex4queue\n", "\n", "nonsense\n"):
        assert host.override("05.0004", name) == ("EBUSY" if protective else "ok")
    if protective:
        assert host.attribute("05.0004", "driver_override") == "vfio_ap\n"


def test_2_a_running_guest_keeps_its_adapters(policy, protective):
    host = h1(policy=policy)
    assert host.unbind("vfio_ap", "06.0047") == "ok"
    mdev = host.create().assigned((5, 6), (4,))
    guest = mdev.start()
    assert mdev.write("assign_domain", "0x47\n") == ("EBUSY" if protective else "ok")
    assert mdev.guest_matrix == ("05.0004|06.0004" if protective else "05.0004|05.0047")
    assert (6 in guest.level.effective.apm) == protective
    if protective:
        why = refusal(host, f"{mdev.path}/assign_domain", "0x47\n")
        assert "06.0047" in str(why)
        assert why.holder == Holder("guest", guest.vm.name, guest.vm.files[0].mdev.name)
        assert mdev.matrix == "05.0004|06.0004"
        config = f"{GOOD_MASK},0x0800000000000000010000{'0' * 42},0x{'0' * 64}\n"
        assert mdev.write("ap_config", config) == "EBUSY"
        assert mdev.write("assign_domain", "0xab\n") == "ok"  # all its queues are there


def test_2_without_a_guest_nothing_is_lost(policy):
    host = h1(policy=policy)
    assert host.unbind("vfio_ap", "06.0047") == "ok"
    mdev = host.create().assigned((5, 6), (4, 0x47))
    assert mdev.guest_matrix == "05.0004|05.0047"


def test_3_an_adapter_returns_by_itself(policy, protective):
    host = h1(policy=policy)
    assert host.unbind("vfio_ap", "06.0047") == "ok"
    mdev = host.create().assigned((5, 6), (4, 0x47))
    guest = mdev.start()
    assert mdev.write("unassign_domain", "0x47\n") == "ok"
    assert mdev.guest_matrix == ("05.0004|06.0004" if protective else "05.0004")
    assert (6 in guest.level.effective.apm) == protective


def test_3_an_adapter_returns_when_a_domain_leaves_the_host(policy, protective):
    host = h1(policy=policy)
    host.answer(QueueFunction.TAPQ, [ResponseCode.NOT_AVAILABLE], "05.0010", forever=True)
    mdev = host.create().assigned((5,), (4, 0x10))
    usage = host.lpar.profile.matrix.aqm
    host.set_profile(usage=usage | Mask.of(0x10))
    assert mdev.guest_matrix == ".0004|.0010"
    host.set_profile(usage=usage)
    assert mdev.guest_matrix == ("05.0004" if protective else ".0004")


def test_3_a_queue_whose_reset_failed_is_tried_again(policy, protective):
    host = h1(policy=policy)
    mdev = host.create().assigned((5,), (4, 0x47))
    guest = mdev.start()
    host.answer(QueueFunction.ZAPQ, [ResponseCode.NOT_AVAILABLE], "05.0004")
    with pytest.raises(Refused):
        guest.file.reset()
    if not protective:
        mdev.assigned((), (0xAB,))  # a filter event: the adapter is lost
    host.scan()
    assert mdev.guest_matrix.startswith("05.") == protective


def test_5_what_the_host_keeps_is_logged(policy, protective):
    host = Host(policy=policy)
    mdev = host.create()
    assert mdev.assign((5,), (4,)) == ["ok", "EADDRNOTAVAIL"]
    assert any("05.0004" in line for line in host.log()) == protective


def test_5_filtering_is_explained(policy, protective):
    host = h1(policy=policy)
    assert host.unbind("vfio_ap", "06.0004") == "ok"
    mdev = host.create().assigned((5, 6), (4,))
    expected = "06 06.0004 is not bound to vfio_ap\n" if protective else "ENOENT"
    assert mdev.read("filtered") == expected
    assert any("adapter 6" in line and "06.0004" in line for line in host.log()) == protective


def test_5_the_guests_control_domains_can_be_read(policy, protective):
    host = h1(policy=policy)
    mdev = host.create()
    assert mdev.write("assign_control_domain", "0x10\n") == "ok"
    assert mdev.write("assign_control_domain", "3\n") == "ok"
    assert mdev.control_domains == "0003|0010"
    assert mdev.read("guest_control_domains") == ("0010\n" if protective else "ENOENT")


def test_5_all_conflicts_are_named(policy, protective):
    host = Documented(policy=policy).host
    mdev = host.create("22222222-0000-4000-8000-000000000000")
    host.log()
    config = f"0x04{'0' * 62},0x080000000000000001{'0' * 46},0x{'0' * 64}\n"
    assert mdev.write("ap_config", config) == "EADDRINUSE"  # 05.0004 is U1's, 05.0047 the newer U2's
    log = host.log()
    assert any("05.0047" in line and U2 in line for line in log)
    assert any("05.0004" in line and U1 in line for line in log) == protective


def test_6_only_real_moves_are_refused(policy, protective):
    host = Host(policy=policy)
    assert host.apmask("-5") == "ok"
    assert host.aqmask("-4") == "ok"
    host.create().assigned((5,), (4,))
    assert host.apmask("+5") == ("ok" if protective else "EBUSY")  # aqmask still keeps domain 4 away
    if protective:
        assert host.aqmask("+4") == "EBUSY"
        assert host.driver("05.0004") == "vfio_ap"


def test_6_both_masks_in_one_step(policy, protective):
    host = Host(policy=policy)
    answer = host.write("bus/ap/masks", "apmask=-5,-6 aqmask=-4\n")
    assert answer == ("ok" if protective else "ENOENT")
    if not protective:
        return
    assert host.masks() == ("0xf9" + "f" * 62, "0xf7" + "f" * 62)
    assert host.bus("masks") == f"apmask={host.masks()[0]} aqmask={host.masks()[1]}\n"
    host.create().assigned((5,), (4,))
    before = host.masks()
    assert host.write("bus/ap/masks", f"apmask={ONES} aqmask={ONES}\n") == "EBUSY"
    for bad in ("apmask=-7 aqmask=zz", "apmask", "other=-5", "apmask=-5 apmask=-6", "apmask=0x5"):
        assert host.write("bus/ap/masks", bad) == "EINVAL"
    assert host.masks() == before


def test_7_a_lost_override_is_not_counted(policy, protective):
    host = Host(policy=policy)
    assert host.override("06.0004", "vfio_ap\n") == "ok"
    host.set_profile(adapters=Mask.of(5))
    assert host.apmask("-5") == ("ok" if protective else "EINVAL")


@pytest.mark.parametrize("text", ["\n", "0x\n", "5\n", "0x41\n"])
def test_8_a_mask_must_be_complete(policy, protective, text):
    host = Host(policy=policy)
    assert host.apmask(text) == ("EINVAL" if protective else "ok")
    assert (host.bus("apmask") == ONES + "\n") == protective


@pytest.mark.parametrize("text", [",,\n", "0x06,0x08\n", "0x06\n\n"])
def test_8_an_ap_config_must_be_complete(policy, protective, text):
    host = h1(policy=policy)
    mdev = host.create().assigned((5,), (4,))
    assert mdev.write("ap_config", text) == ("EINVAL" if protective else "ok")
    assert (mdev.matrix == "05.0004") == protective
    assert mdev.write("ap_config", mdev.read("ap_config")) == "ok"


def test_8_an_ap_config_gives_a_guest_control_domains_only(policy):
    host = h1(policy=policy)
    mdev = host.create()
    guest = mdev.start()
    assert mdev.write("ap_config", f"{ZEROS},{ZEROS},{Mask.of(3, 4)}\n") == "ok"
    assert guest.level.matrix == Matrix(adm=Mask.of(4))
    assert guest.changes == 1


def test_9_a_stuck_reset_is_given_up():
    host = h1(policy="protective")
    mdev = host.create().assigned((5,), (4, 0x47))
    mdev.start()
    host.answer(QueueFunction.TAPQ, [ResponseCode.RESET_IN_PROGRESS], "05.0004", forever=True)
    host.clock.automatic = True
    assert mdev.write("unassign_domain", "4\n") == "ok"
    assert any("05.0004" in line and "given up" in line for line in host.log())


def test_9_a_failed_reset_is_logged(policy, protective):
    host = h1(policy=policy)
    mdev = host.create().assigned((5,), (4,))
    guest = mdev.start()
    host.answer(QueueFunction.ZAPQ, [ResponseCode.NOT_AVAILABLE], "05.0004")
    host.log()
    with pytest.raises(Refused):
        guest.file.reset()
    assert any("05.0004" in line for line in host.log()) == protective


def test_9_the_next_guest_of_an_mdev_does_not_get_what_could_not_be_reset(policy, protective):
    host = h1(policy=policy)
    mdev = host.create().assigned((5, 6), (4,))
    first = mdev.start()
    failing = ScriptedAnswers(QueueFunction.ZAPQ, [ResponseCode(0x46)], apqns=[Apqn(5, 4)], forever=True)
    host.machine.adapters[5].filters.add(failing)
    first.stop()
    level = host.system.vmm.start(U1).level
    assert (Apqn(5, 4) not in level.effective) == protective
    assert Apqn(6, 4) in level.effective
    host.machine.adapters[5].filters.remove(failing)
    host.scan()
    assert Apqn(5, 4) in level.effective


def test_9_a_queue_that_could_not_be_reset_does_not_become_usable_by_binding_it_again(policy, protective):
    host = h1(policy=policy)
    mdev = host.create().assigned((5,), (4,))
    assert mdev.write("unassign_adapter", "5") == "ok"
    failing = ScriptedAnswers(QueueFunction.ZAPQ, [ResponseCode(0x46)], apqns=[Apqn(5, 4)], forever=True)
    host.machine.adapters[5].filters.add(failing)
    assert host.unbind("vfio_ap", "05.0004") == host.bind("vfio_ap", "05.0004") == "ok"
    assert mdev.write("assign_adapter", "5") == "ok"
    assert ("05.0004" not in mdev.guest_matrix) == protective
    host.machine.adapters[5].filters.remove(failing)
    host.scan()
    assert mdev.guest_matrix == "05.0004"


def test_10_ap_config_is_one_change_for_the_guest(policy, protective):
    host = h1(policy=policy)
    mdev = host.create().assigned((5,), (4,))
    guest = mdev.start()
    before = guest.changes
    host.witness.seen.clear()
    config = f"0x02{'0' * 62},0x000000000000000001{'0' * 46},0x{'0' * 64}\n"
    assert mdev.write("ap_config", config) == "ok"
    assert mdev.guest_matrix == "06.0047"
    assert (guest.changes - before == 1) == protective
    assert "05.0004" in host.witness.zeroized()
    assert host.status("05.0004") == "unassigned\n"


def test_11_an_mdev_is_not_removed_under_its_guest():
    host = h1(policy="protective")
    mdev = host.create().assigned((5,), (4,))
    guest = mdev.start()
    assert mdev.write("remove", "1\n") == "EBUSY"
    assert host.rc(guest, "05.0004") == 0
    guest.stop()
    assert mdev.write("remove", "1\n") == "ok"


def test_11_event_fds_go_with_the_device(policy, protective):
    host = h1(policy=policy)
    mdev = host.create().assigned((5,), (4,))
    first = mdev.start()
    count = first.changes
    first.stop()
    host.system.vmm.create_vm("second").open(U1)
    assert (first.changes == count) == protective


def test_11_the_hosts_reset_stays_away_from_guests_queues(policy, protective):
    host = h1(policy=policy)
    adapters = host.lpar.profile.matrix.apm
    host.set_profile(adapters=Mask.of(6))
    host.witness.seen.clear()
    host.set_profile(adapters=adapters)
    assert host.driver("05.0004") == "vfio_ap"
    assert (host.witness.count(QueueFunction.RAPQ, "05.0004") == 0) == protective


def aqic(host: Host, guest: Guest, apqn: int, gr1: int) -> Registers:
    registers = Registers([FunctionCode.AQIC << 24 | apqn, gr1, 0x100, *[0] * 13])
    execute(host.machine, guest.level, Instruction(Opcode.PQAP), registers, FlatMemory(0x1000))
    return registers


def test_11_aqic_sees_what_the_guest_sees(policy, protective):
    host = h1(policy=policy, facilities=(*Facility,))
    assert host.unbind("vfio_ap", "05.0047") == "ok"
    guest = host.create().assigned((5,), (4, 0x47)).start()
    registers = aqic(host, guest, 0x0504, 0x0000_8000_0000_0003)
    assert registers.gr[1] >> 16 & 0xFF == (ResponseCode.NOT_AVAILABLE if protective else ResponseCode.NORMAL)


def test_11_aqic_without_device_tells_the_truth(policy, protective):
    host = h1(policy=policy, facilities=(*Facility,))
    vm = host.system.vmm.create_vm("bare")
    registers = Registers([FunctionCode.AQIC << 24 | 0x0504, 6, 0x100, *[0] * 13])
    execute(host.machine, vm.level, Instruction(Opcode.PQAP), registers, FlatMemory(0x1000))
    assert registers.gr[1] == (0x0001_0000 if protective else 0x0001_0000_0000_0006)


def test_11_a_small_control_block_is_not_filled_in_part(policy, protective):
    matrix = Matrix(Mask.of(5, 70), Mask.of(4, 20), Mask.of(4, 20))
    host = Host(policy=policy, cards={5: "CEX5C", 70: "CEX5A"}, matrix=matrix, max_adapter=255)
    assert host.apmask("-5,-70") == "ok"
    host.create().assigned((5, 70), (4, 20))
    vm = host.system.vmm.create_vm("old", form=CrycbFormat.FORMAT_0)
    if protective:
        with pytest.raises(Refused, match="adapters 70"):
            vm.open(U1)
        assert not vm.files
    else:
        vm.open(U1)
        assert vm.level.effective.apm == Mask.of(5)


def test_11_a_host_without_qci_can_have_guests(policy, protective):
    matrix = Matrix(Mask.of(5), Mask.of(4), Mask.of(4))
    host = Host(
        policy=policy, matrix=matrix, cards={5: "CEX5C"}, facilities=(Facility.APFT, Facility.MSA3), features=FEATURES
    )
    assert host.apmask("-5") == "ok"
    assert host.create().assigned((5,), (4,)).guest_matrix == ("05.0004" if protective else "")


def test_12_shared_control_domains_are_reported(policy, protective):
    host = h1(policy=policy)
    one, two = host.create(U1), host.create(U2)
    assert one.write("assign_control_domain", "4\n") == "ok"
    host.log()
    assert two.write("assign_control_domain", "4\n") == "ok"
    assert any(U1 in line and "4" in line for line in host.log()) == protective


def test_13_a_matrix_is_shown_in_full(policy, protective):
    host = Host(policy=policy, max_adapter=255)
    adapters = ",".join(f"-{number}" for number in range(64))
    assert host.apmask(adapters) == "ok"
    mdev = host.create().assigned(range(64), range(16))
    assert len(mdev.read("matrix")) == (1024 * 8 if protective else 4095)


def test_the_tools_own_writes_still_work():
    """What chzdev, mdevctl and ap-check write is accepted: full masks, terms, full ap_config."""
    host = Host(policy="protective")
    assert host.apmask("0xf9" + "f" * 62 + "\n") == "ok"
    assert host.aqmask("-4,-0x47\n") == "ok"
    assert host.write(f"{TYPE}/create", U1) == "ok"
    path = f"devices/vfio_ap/matrix/{U1}"
    assert host.write(f"{path}/assign_adapter", "5") == "ok"
    assert host.write(f"{path}/assign_domain", "0x4") == "ok"
    assert host.write(f"{path}/ap_config", host.read(f"{path}/ap_config").rstrip("\n")) == "ok"
