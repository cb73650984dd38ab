"""A level that a real operating system takes, in this process and from another one's place; without QEMU."""

import struct
import threading

import pytest

from apmatrix.arch import Apqn, Interruption, ResponseCode
from apmatrix.cards import QueueFunction, ScriptedAnswers
from apmatrix.config import load
from apmatrix.emulation import Emulation
from apmatrix.faces.boot.service import DONE, ProgramInterruption
from apmatrix.service.client import connect
from apmatrix.service.errors import ControlError
from apmatrix.service.levels import take_level
from apmatrix.service.naming import find_system
from apmatrix.service.protocol.levels import ExecuteInstruction, TakeLevel
from apmatrix.service.remote import RemoteLevel
from apmatrix.service.server import MachineServer
from support.storage import guest_storage

GUEST, STOPPED, NEW = (f"00000000-0000-4000-8000-{number:012}" for number in (1, 2, 3))
FILE = f"""
[[adapter]]
id = 5
type = "CEX8A"
[[lpar]]
name = "kvm1"
adapters = "5"
usage_domains = "4,6,7,8"
[lpar.host]
apmask = "-5"
aqmask = "-6,-7,-8"
[[lpar.guest]]
name = "guest1"
uuid = "{GUEST}"
adapters = "5"
domains = "6"
start = true
[[lpar.guest]]
name = "guest2"
uuid = "{STOPPED}"
adapters = "5"
domains = "7"
start = false
[[lpar.guest]]
name = "guest3"
adapters = "5"
domains = "6"
start = true
"""
SIZE = 1 << 20
FRAME, PROGRAM = 0x8000, 0x9000
REAL = 0x20  # an address space without translation


@pytest.fixture
def emulation(tmp_path):
    file = tmp_path / "machine.toml"
    file.write_text(FILE)
    with Emulation.start(load(file, allow_refused=True)) as made:
        yield made


@pytest.fixture
def path(emulation, tmp_path):
    """A control socket of the machine."""
    MachineServer(emulation).listen_at(tmp_path / "control")
    return tmp_path / "control"


@pytest.fixture
def storage():
    with guest_storage(SIZE) as made:
        yield made


def interrupt(storage, code, *registers):
    """A program in real storage, interrupted behind an instruction."""
    storage.write(PROGRAM, bytes.fromhex(code))
    words = (0, 0x0000_0001_8000_0000, PROGRAM + 4, *registers, *[0] * (16 - len(registers)))
    storage.write(FRAME, struct.pack(">19Q", *words))


def gr1(storage):
    return storage.word(FRAME + 32)


def vms(emulation):
    return [vm.name for vm in emulation.lpars[0].linux.vmm.vms]


def test_a_running_guest_makes_room_and_keeps_its_vm(emulation):
    before = find_system(emulation, "guest1").linux
    with take_level(emulation, None, "guest1") as level:
        assert level.facilities == {12, 15}
        assert vms(emulation) == ["guest1"]
        assert [system.name for system in emulation.systems()] == ["kvm1"]
        with pytest.raises(ControlError, match="kvm1/guest1 runs its own operating system"):
            find_system(emulation, "guest1")
    assert vms(emulation) == ["guest1"]
    after = find_system(emulation, "guest1").linux
    assert after is not before
    assert after.sysfs.read("bus/ap/devices/05.0006/online") == b"1\n"


def test_a_level_has_one_operating_system(emulation):
    for name in ("guest1", "guest2"):
        with take_level(emulation, None, name):
            with pytest.raises(ControlError, match=f"another operating system has .*{name}: end it first"):
                take_level(emulation, None, name)
            assert vms(emulation).count(name) == 1
        with take_level(emulation, None, name):
            pass


def test_a_guest_that_was_stopped_meanwhile_stays_so(emulation):
    guest = emulation.lpars[0].guests[0]
    with take_level(emulation, None, "guest1"):
        emulation.stop_guest(guest)
    assert vms(emulation) == []
    emulation.start_guest(guest)
    assert find_system(emulation, "guest1").linux.sysfs.list("devices/ap/card05").count("05.0006") == 1


@pytest.mark.parametrize("name", ["guest2", "kvm1/guest2", STOPPED, STOPPED.upper()])
def test_a_guest_that_does_not_run_is_started_for_as_long_as_it_is_used(emulation, name):
    with take_level(emulation, None, name):
        assert vms(emulation) == ["guest1", "guest2"]
        (vm,) = (vm for vm in emulation.lpars[0].linux.vmm.vms if vm.name == "guest2")
        assert list(vm.level.effective.apqns()) == [Apqn(5, 7)]
        assert not vm.booted
    assert vms(emulation) == ["guest1"]


def test_an_mdev_that_no_file_describes(emulation):
    sysfs = emulation.lpars[0].linux.sysfs
    matrix = "devices/vfio_ap/matrix"
    sysfs.write(f"{matrix}/mdev_supported_types/vfio_ap-passthrough/create", NEW.encode())
    with take_level(emulation, None, NEW):
        assert vms(emulation) == ["guest1", NEW]
    with pytest.raises(ControlError, match="there is no guest guest9: the guests are kvm1/guest1, kvm1/guest2"):
        take_level(emulation, None, "guest9")


def test_a_refused_guest_says_why(emulation):
    with pytest.raises(ControlError, match=r"guest kvm1/guest3 was refused: .*EADDRINUSE"):
        take_level(emulation, None, "guest3")


def test_an_lpar(emulation):
    with take_level(emulation, "kvm1", None) as level:
        assert vms(emulation) == []
        assert level.facilities
    assert vms(emulation) == ["guest1"]
    assert find_system(emulation, None).linux.sysfs.read("bus/ap/apmask").startswith(b"0xfb")
    assert [refusal.error for refusal in emulation.refusals] == ["EADDRINUSE"]
    with pytest.raises(ControlError, match=r"there is no LPAR kvm7 in .*: the LPARs are kvm1"):
        take_level(emulation, "kvm7", None)


def test_instructions_are_executed_in_storage_that_is_shared(path, storage):
    with RemoteLevel(connect(path), None, "guest1") as level:
        assert level.facilities == {12, 15}
        service = level.attach(storage)
        interrupt(storage, "b2af0000", 0x0506)
        assert service.serve(FRAME, REAL, REAL) is DONE
        assert gr1(storage) == 0x80000000
        interrupt(storage, "b2af0000", 0x0504)  # the host's
        assert service.serve(FRAME, REAL, REAL) is DONE
        assert gr1(storage) == 0x00010000
        interrupt(storage, "b2af0000", 0x00010506)
        assert service.serve(FRAME, REAL, REAL) == ProgramInterruption(Interruption.SPECIFICATION)
        assert service.executed == 3
        interrupt(storage, "00020000")
        assert service.serve(FRAME, REAL, REAL) == ProgramInterruption(Interruption.OPERATION)
        assert service.executed == 3


def test_the_end_of_a_connection_resets_what_was_under_way(emulation, path, storage):
    machine, level = emulation.machine, emulation.lpars[0].guests[0].vm.level
    client = connect(path)
    remote = RemoteLevel(client, None, "guest1")
    remote.attach(storage)
    port = machine.port(level, Apqn(5, 6))
    assert port.nqap(1, b"\0\x50" + bytes(398)).ok
    assert not port.tapq()[0].empty
    client.close()
    for thread in threading.enumerate():
        if thread.name == "client":
            thread.join(10)
    assert port.tapq()[0].empty


def test_a_restart_from_a_distance_empties_queues_whose_zapq_is_faulted(emulation, path):
    port = emulation.machine.port(emulation.lpars[0].guests[0].vm.level, Apqn(5, 6))
    with RemoteLevel(connect(path), None, "guest1") as level:
        emulation.machine.adapters[5].filters.add(
            ScriptedAnswers(QueueFunction.ZAPQ, [ResponseCode.RESET_IN_PROGRESS])
        )
        assert port.nqap(1, b"\0\x50" + bytes(398)).ok
        level.reset()
        assert port.tapq()[0].empty


def test_one_level_and_one_storage_for_a_connection(path, storage):
    client = connect(path)
    with RemoteLevel(client, None, "guest1") as level:
        with pytest.raises(ControlError, match="there is no storage yet"):
            client.ask(ExecuteInstruction(0, 0, 0))
        level.attach(storage)
        with pytest.raises(ControlError, match="storage is shared once"):
            level.attach(storage)
        with pytest.raises(ControlError, match="already has a level"):
            client.ask(TakeLevel(guest="guest1"))
    with pytest.raises(ControlError, match="runs guests that would end with it"):
        RemoteLevel(connect(path), None, None)


@pytest.mark.parametrize("fields", [("x", 0, 0), (-1, 0, 0), (1 << 40, 32, 32), (1 << 70, 32, 32)])
def test_nonsense_is_refused_and_the_machine_lives_on(path, storage, fields):
    client = connect(path)
    with RemoteLevel(client, None, "guest1") as level:
        service = level.attach(storage)
        with pytest.raises(ControlError):
            client.ask(ExecuteInstruction(*fields))
        interrupt(storage, "b2af0000", 0x0506)
        assert service.serve(FRAME, REAL, REAL) is DONE


def test_a_guest_that_is_stopped_meanwhile_loses_its_queues(emulation, path, storage):
    with RemoteLevel(connect(path), None, "guest2") as level:
        service = level.attach(storage)
        interrupt(storage, "b2af0000", 0x0507)
        service.serve(FRAME, REAL, REAL)
        assert gr1(storage) == 0x80000000
        emulation.lpars[0].linux.vmm.find("guest2").stop()
        interrupt(storage, "b2af0000", 0x0507)
        service.serve(FRAME, REAL, REAL)
        assert gr1(storage) == 0x00010000
    with RemoteLevel(connect(path), None, "guest2"):
        pass


def test_an_adapter_that_leaves_the_mdev_leaves_the_guest(emulation, path, storage):
    host = emulation.lpars[0].linux
    with RemoteLevel(connect(path), None, "guest1") as level:
        service = level.attach(storage)
        for write, expected in ((("unassign_adapter", b"5"), 0x00010000), (("assign_adapter", b"5"), 0x80000000)):
            host.sysfs.write(f"devices/vfio_ap/matrix/{GUEST}/{write[0]}", write[1])
            interrupt(storage, "b2af0000", 0x0506)
            service.serve(FRAME, REAL, REAL)
            assert gr1(storage) == expected
