"""Vectors V114 to V119, V159, V160 and V163: the VFIO device, resets (host.md 8.9, 8.11)."""

import errno

import pytest

from apmatrix.arch import Apqn, Mask, Matrix, ResponseCode
from apmatrix.cards import AdapterState, QueueFunction
from apmatrix.linux import EventFd, Refused
from apmatrix.linux.core import Task
from apmatrix.linux.vfio_ap.file import (
    ACTION_MASK,
    ACTION_TRIGGER,
    BAD_POINTER,
    DATA_BOOL,
    DATA_EVENTFD,
    DATA_NONE,
    DEVICE_FEATURE,
    open_device,
)
from support.host import TYPE, U1, U2, Guest

Code = ResponseCode
REQUEST, CONFIG = 0, 1


def refused(number, action, *arguments, **options):
    """The action must be refused with this errno."""
    with pytest.raises(Refused) as caught:
        action(*arguments, **options)
    assert errno.errorcode[caught.value.errno] == errno.errorcode[number]


@pytest.fixture
def file(hx):
    """The device file of guest 1."""
    return hx.mdevs[0].start().file


def test_V114_no_device_without_a_vm(hx):
    refused(errno.EINVAL, open_device, hx.host.system.vfio_ap, U1, None)
    assert hx.host.status("05.0004") == "assigned\n"


def test_V114_one_device_for_a_vm(hx):
    guest = hx.mdevs[0].start()
    refused(errno.EPERM, guest.vm.open, U2)
    assert hx.host.status("05.0047") == "assigned\n"
    assert guest.level.matrix.apm == Mask.of(5, 6)


def test_V114_one_vm_for_a_device(hx):
    hx.mdevs[0].start()
    refused(errno.EBUSY, hx.host.system.vmm.create_vm("other").open, U1)


def test_V115_device_info(file):
    refused(errno.EINVAL, file.get_info, 15)
    info = file.get_info(16)
    assert (info.flags, info.regions, info.irqs) == (0x21, 0, 2)


def test_V116_irq_info(file):
    for index in (REQUEST, CONFIG):
        info = file.get_irq_info(index)
        assert (info.index, info.count, info.flags) == (index, 1, 1)
    refused(errno.EINVAL, file.get_irq_info, 2)
    refused(errno.EINVAL, file.get_irq_info, 0, argsz=15)


@pytest.mark.parametrize("index", [REQUEST, CONFIG])
@pytest.mark.parametrize(
    "options",
    [
        {"start": 1},
        {"count": 2},
        {"flags": DATA_BOOL | ACTION_TRIGGER},
        {"flags": DATA_NONE | ACTION_TRIGGER},
        {"flags": DATA_EVENTFD | ACTION_MASK},
        {"flags": DATA_EVENTFD | ACTION_TRIGGER | 0x40},
        {"argsz": 19},
        {"argsz": 23},
        {"fd": -2},
    ],
    ids=[f"V117-{index}" for index in range(9)],
)
def test_irqs_that_are_refused(hx, index, options):
    guest = hx.mdevs[0].start()
    refused(errno.EINVAL, guest.file.set_irqs, index, **{"fd": EventFd(), **options})
    assert hx.mdevs[0].write("unassign_domain", "4") == "ok"
    assert guest.changes == 1  # the events are as they were


def test_V117_there_are_two_irqs(file):
    refused(errno.EINVAL, file.set_irqs, 2, EventFd())


def test_V118_a_reset_with_a_deconfigured_queue(hx):
    guest = hx.mdevs[0].start()
    ports = [hx.host.machine.port(guest.level, Apqn.parse(queue)) for queue in ("05.0004", "05.00ab")]
    for port in ports:
        assert port.nqap(1, b"request").ok
    hx.host.set_state(6, AdapterState.DECONFIGURED)
    hx.host.witness.seen.clear()
    refused(errno.EIO, guest.file.reset)
    assert {"05.0004", "05.00ab"} <= hx.host.witness.zeroized()
    for port in ports:
        assert port.tapq()[0].empty
    hx.host.set_state(6, AdapterState.ONLINE)
    guest.file.reset()


def test_V119_closing_the_device(hx):
    mdev, guest = hx.mdevs[0], hx.mdevs[0].start()
    matrix = mdev.matrix
    assert hx.host.machine.port(guest.level, Apqn(5, 4)).nqap(1, b"secret").ok
    hx.host.witness.seen.clear()
    guest.file.close()
    assert guest.level.matrix == Matrix()
    assert not any(bytes(guest.level.block))
    assert hx.host.witness.zeroized() == {"05.0004", "05.00ab", "06.0004", "06.00ab"}
    assert hx.host.machine.port(hx.host.lpar.level, Apqn(5, 4)).tapq()[0].empty
    assert (mdev.matrix, mdev.guest_matrix) == (matrix, matrix)
    assert hx.host.status("05.0004") == "assigned\n"


def test_V119_another_vm_may_follow(hx):
    hx.mdevs[0].start().stop()
    again = Guest(hx.host, U1)
    assert len(again.level.matrix) == 4
    assert hx.host.status("05.0004") == "in use\n"


# V159: resets that do not end at once


@pytest.fixture
def resetting(mdev):
    mdev.assigned((5, 6), (4,))
    guest = mdev.start()
    mdev.host.clock.automatic = True
    mdev.host.witness.seen.clear()
    mdev.host.log()
    return mdev, guest


def test_V159_the_reset_is_repeated_until_it_is_accepted(resetting):
    mdev, guest = resetting
    codes = [Code.STATE_CHANGE_IN_PROGRESS, Code.RESET_IN_PROGRESS, Code.BUSY]
    mdev.host.answer(QueueFunction.ZAPQ, codes, "05.0004")
    guest.file.reset()
    assert mdev.host.witness.count(QueueFunction.ZAPQ, "05.0004") == 4
    assert mdev.host.witness.count(QueueFunction.ZAPQ, "06.0004") == 1


def test_V159_an_unexpected_code_is_reported(resetting):
    mdev, guest = resetting
    mdev.host.answer(QueueFunction.ZAPQ, [Code.INVALID_DOMAIN], "05.0004")
    refused(errno.EIO, guest.file.reset)
    assert mdev.host.log() == ["PQAP/ZAPQ for 05.0004 failed with invalid rc=66"]
    assert mdev.host.witness.count(QueueFunction.ZAPQ, "05.0004") == 1


def test_V159_a_queue_that_is_not_available_is_filtered(resetting):
    mdev, guest = resetting
    mdev.host.answer(QueueFunction.ZAPQ, [Code.NOT_AVAILABLE], "05.0004")
    refused(errno.EIO, guest.file.reset)
    assert mdev.guest_matrix == "05.0004|06.0004"
    assert mdev.write("ap_config", mdev.read("ap_config")) == "ok"
    assert mdev.guest_matrix == "06.0004"
    guest.file.reset()
    assert mdev.write("ap_config", mdev.read("ap_config")) == "ok"
    assert mdev.guest_matrix == "05.0004|06.0004"


def test_MTX_70_a_running_reset_is_waited_for(resetting):
    mdev, guest = resetting
    mdev.host.answer(QueueFunction.TAPQ, [Code.RESET_IN_PROGRESS, Code.BUSY, Code.RESET_IN_PROGRESS], "05.0004")
    start = mdev.host.clock.now()
    guest.file.reset()
    assert mdev.host.clock.now() - start >= 3 * 0.02
    assert mdev.host.witness.count(QueueFunction.ZAPQ, "05.0004") == 1


def test_MTX_70_a_long_reset_is_told_but_not_endlessly(resetting):
    mdev, guest = resetting
    mdev.host.answer(QueueFunction.TAPQ, [Code.RESET_IN_PROGRESS] * 300, "05.0004")
    guest.file.reset()
    lines = mdev.host.log()
    assert lines[:2] == [f"Waited {milliseconds}ms for reset of queue 05.0004 (2, 1, 0)" for milliseconds in (20, 40)]
    assert len(lines) == 20  # ten in five seconds, and six seconds passed


@pytest.mark.parametrize(
    ("code", "zeroized", "warned"),
    [
        (Code.NOT_AVAILABLE, 1, False),
        (Code.DECONFIGURED, 1, False),
        (Code.SECRET_NOT_UNIQUE, 2, False),
        (Code.ASSOCIATION_FAILED, 2, False),
        (Code.INVALID_DOMAIN, 1, True),
    ],
    ids=["01", "03", "35", "36", "42"],
)
def test_MTX_70_how_the_wait_for_a_reset_ends(resetting, code, zeroized, warned):
    mdev, guest = resetting
    mdev.host.answer(QueueFunction.TAPQ, [code], "05.0004")
    guest.file.reset()
    assert mdev.host.witness.count(QueueFunction.ZAPQ, "05.0004") == zeroized
    assert mdev.host.log() == ["failed to verify reset of queue 05.0004: TAPQ rc=66"] * warned


@pytest.mark.parametrize(
    ("code", "zeroized", "lines"),
    [
        (Code.NOT_AVAILABLE, 1, []),
        (Code.DECONFIGURED, 2, []),
        (Code.BUSY, 2, ["Waited 20ms for reset of queue 05.0004 (5, 1, 0)"]),
        (Code.INVALID_DOMAIN, 1, ["failed to verify reset of queue 05.0004: TAPQ rc=66"]),
    ],
    ids=["01", "03", "05", "42"],
)
def test_MTX_70_a_refused_reset_is_repeated_when_the_queue_is_ready(resetting, code, zeroized, lines):
    """What TAPQ says comes first: a queue that is gone, or in a state that nobody knows, is not reset again."""
    mdev, guest = resetting
    mdev.host.answer(QueueFunction.ZAPQ, [Code.BUSY], "05.0004")
    mdev.host.answer(QueueFunction.TAPQ, [code] * (1 + (code is Code.BUSY)), "05.0004")
    if zeroized == 1:
        refused(errno.EIO, guest.file.reset)
    else:
        guest.file.reset()
    assert mdev.host.witness.count(QueueFunction.ZAPQ, "05.0004") == zeroized
    assert mdev.host.log() == lines


def test_MTX_70_the_code_of_a_repeated_reset_counts_without_a_warning(resetting):
    mdev, guest = resetting
    mdev.host.answer(QueueFunction.ZAPQ, [Code.BUSY, Code.INVALID_DOMAIN], "05.0004")
    refused(errno.EIO, guest.file.reset)
    assert mdev.host.witness.count(QueueFunction.ZAPQ, "05.0004") == 2
    assert mdev.host.log() == []


@pytest.fixture
def stuck(hx):
    """V160: 05.0004 does not come out of its reset while adapter 5 is unassigned."""
    host = hx.host
    assert host.apmask("-7") == "ok"
    hx.guest = hx.mdevs[0].start()
    release = host.answer(QueueFunction.TAPQ, [Code.RESET_IN_PROGRESS], "05.0004", forever=True)
    blocked = [host.background(lambda: hx.mdevs[0].write("unassign_adapter", "5"))]

    def end():
        release()
        host.clock.automatic = True
        host.clock.advance(0.02)
        return [each.finish() for each in blocked]

    hx.blocked, hx.end = blocked, end
    yield hx
    end()


def test_V160_the_guest_has_lost_the_adapter_already(stuck):
    assert stuck.blocked[0].blocked
    assert stuck.guest.level.matrix == Matrix(Mask.of(6), Mask.of(4, 0xAB))
    assert stuck.end() == ["ok"]


@pytest.mark.parametrize(
    ("action", "result"),
    [
        (lambda hx: hx.mdevs[0].guest_matrix, "06.0004|06.00ab"),
        (lambda hx: hx.mdevs[1].matrix, "05.0047|05.00ff"),
        (lambda hx: hx.mdevs[1].control_domains, ""),
        (lambda hx: hx.host.status("06.00ff"), "assigned\n"),
        (lambda hx: hx.mdevs[1].write("assign_control_domain", "4"), "ok"),
        (lambda hx: hx.mdevs[1].write("unassign_domain", "0xff"), "ok"),
        (lambda hx: hx.mdevs[1].write("assign_adapter", "9"), "ok"),
        (lambda hx: hx.host.write(f"{TYPE}/create", "9" * 8 + U1[8:]), "ok"),
        (lambda hx: hx.host.apmask("+7"), "ok"),
    ],
    ids=[f"V160-{index}" for index in range(9)],
)
def test_all_of_vfio_ap_waits(stuck, action, result):
    stuck.blocked.append(stuck.host.background(lambda: action(stuck)))
    assert all(each.blocked for each in stuck.blocked)
    assert stuck.end() == ["ok", result]


def test_V160_reads_of_a_mask_that_is_being_written(stuck):
    host = stuck.host
    stuck.blocked.append(host.background(lambda: host.apmask("+7")))
    stuck.blocked.append(host.background(lambda: host.bus("apmask")))
    assert all(each.blocked for each in stuck.blocked)
    assert stuck.end()[1:] == ["ok", "0xf9" + "f" * 62 + "\n"]


def test_BUS_33_waiting_for_the_masks_can_be_interrupted(stuck):
    host, task = stuck.host, Task("chzdev", 4712)
    stuck.blocked.append(host.background(lambda: host.apmask("+7")))
    writer = host.background(lambda: host.sysfs.write("bus/ap/apmask", b"-11", task))
    host.system.kernel.signal(task)
    assert writer.finish().errno == errno.EINTR
    assert stuck.end() == ["ok", "ok"]
    assert host.bus("apmask") == "0xf9" + "f" * 62 + "\n"


def test_V160_what_goes_on(stuck):
    assert stuck.mdevs[0].read("ap_config").startswith("0x02")
    assert stuck.host.read(f"{TYPE}/available_instances") == "65533\n"
    assert stuck.host.bus("bindings") == "8/8 (complete)\n"
    assert stuck.host.apmask("-9") == "ok"
    assert stuck.blocked[0].blocked


# V163: what a VMM may do wrong


def test_V163_bad_pointers(file):
    refused(errno.EFAULT, file.get_info, BAD_POINTER)
    refused(errno.EFAULT, file.get_irq_info, 0, argsz=BAD_POINTER)
    refused(errno.EFAULT, file.set_irqs, 0, EventFd(), argsz=BAD_POINTER)
    refused(errno.EFAULT, file.set_irqs, 0, BAD_POINTER)


def test_V163_event_fds(hx):
    guest = hx.mdevs[0].start()
    event = EventFd()
    guest.file.set_irqs(CONFIG, event, count=0)
    assert hx.mdevs[0].write("unassign_domain", "4") == "ok"
    guest.file.set_irqs(CONFIG, -1)
    assert hx.mdevs[0].write("assign_domain", "4") == "ok"
    assert (event.count, guest.changes) == (1, 0)
    refused(errno.EBADF, guest.file.set_irqs, CONFIG, 77)
    refused(errno.EINVAL, guest.file.set_irqs, CONFIG, object())


def test_V163_what_is_not_offered(file):
    refused(errno.ENOTTY, file.ioctl, DEVICE_FEATURE)
    refused(errno.EOPNOTSUPP, file.ioctl, 0x3B99)
    refused(errno.EINVAL, file.read, 4)
    refused(errno.EINVAL, file.write, b"data")
    refused(errno.EINVAL, file.mmap, 4096)


def test_V163_a_second_device_file_does_not_count(hx):
    guest = hx.mdevs[0].start()
    second = guest.vm.open(U1)
    assert second.get_info().irqs == 2
    second.close()
    assert len(guest.level.matrix) == 4
    assert hx.host.status("05.0004") == "in use\n"


def test_V163_the_module_is_in_use(hx):
    guest = hx.mdevs[0].start()
    refused(errno.EAGAIN, hx.host.system.unload_vfio_ap)
    assert len(guest.level.matrix) == 4
    guest.stop()
    hx.host.system.unload_vfio_ap()
    assert hx.host.drivers() == dict.fromkeys(hx.host.queues(), "-")
    assert hx.host.read(f"{TYPE}/available_instances") == "ENOENT"
    hx.host.system.load_vfio_ap()
    assert len(hx.host.on("vfio_ap")) == 8
    assert hx.host.read(f"{TYPE}/available_instances") == "65536\n"


def test_VFIO_4_the_event_fds_stay(hx):
    first = hx.mdevs[0].start()
    first.file.close()
    before = first.changes
    first.vm.open(U1)
    assert first.changes == before + 1


def test_V118_a_vm_starts_with_a_deconfigured_adapter_too(hx):
    hx.host.set_state(6, AdapterState.DECONFIGURED)
    vm = hx.host.system.vmm.start(U1)
    assert len(vm.level.matrix) == 4
    assert hx.host.status("06.0004") == "in use\n"
