"""The bridge against a machine that is made of a dictionary of registers and a script of stops."""

import socket
import struct
import threading
from typing import TYPE_CHECKING, cast

import pytest

from apmatrix.arch import ConditionCode, Interruption, ProgramCheck
from apmatrix.faces.boot.bridge import LOADER_START, NEW_PSW, Bridge, End, Way
from apmatrix.faces.boot.errors import KernelError, QemuError
from apmatrix.faces.boot.handler import RESERVED
from apmatrix.faces.boot.service import Service
from apmatrix.faces.gdb import Break, Stop
from support.storage import guest_storage

if TYPE_CHECKING:
    from apmatrix.faces.gdb import GdbClient

SIZE = 8 << 20
IMAGE = 0x200000
HANDLERS = 0x340000
OPERATION, SPECIFICATION = IMAGE + 0x1010, IMAGE + 0x1060
FRAME, PROGRAM, RETURN = 0x150000, 0x160000, IMAGE + 0x2000
TABLE = 0x180000
ASCE = TABLE | 0x7  # region-third table; entry 0 maps the first 2 GiB as one frame
KERNEL_PSW = 0x0400_0001_8000_0000


class ScriptedClient:
    """What a GdbClient does, for a guest whose every move is scripted.

    ``script`` yields at each resume: it changes registers and storage, and returns the stop.
    """

    def __init__(self, storage, script):
        self.storage = storage
        self.script = script(self)
        self.registers = dict.fromkeys(("pswm", "pswa", "r2", "r14", "cr1", "cr7", "cr13"), 0)
        self.registers |= {"pswa": LOADER_START}
        self.breaks = set()
        self.log = []
        self.quiet, self.bell = socket.socketpair()

    def fileno(self):
        return self.quiet.fileno()

    def insert(self, kind, address, length=2):
        assert (kind, address) not in self.breaks
        self.breaks.add((kind, address))

    def remove(self, kind, address, length=2):
        self.breaks.remove((kind, address))

    def read_register(self, name):
        return self.registers[name]

    def write_register(self, name, value):
        self.log.append((name, value))
        self.registers[name] = value

    def select(self, thread):
        pass

    def resume(self):
        self.log.append("resume")

    def step(self, thread):
        self.log.append(f"step {thread}")
        self.stepping = True

    stepping = False

    def wait(self, timeout):
        if self.stepping:
            self.stepping = False
            return Stop(5, "1")
        return next(self.script)


@pytest.fixture
def storage():
    with guest_storage(SIZE) as made:
        for index in range(2048):
            made.store_word(TABLE + index * 8, 0x24)
        made.store_word(TABLE, 0x404)
        slots = [IMAGE + 0x1000 + code * 16 for code in range(128)]
        for code in (0, *range(0x41, 128)):
            slots[code] = IMAGE
        for one, other in ((0x08, 0x0A), (0x09, 0x0B), (0x10, 0x11)):
            slots[other] = slots[one]
        made.write(HANDLERS, struct.pack(">128Q", *slots))
        yield made


def kernel_starts(machine):
    """The loader sets its own handler, then the kernel its own."""
    machine.storage.store_word(NEW_PSW + 8, 0x101D0)
    yield Stop(5, "1", watched=NEW_PSW + 8)
    machine.storage.store_word(NEW_PSW + 8, IMAGE + 0x100)
    machine.registers |= {"pswm": KERNEL_PSW, "pswa": IMAGE + 0x200, "cr1": ASCE, "cr7": ASCE}
    yield Stop(5, "1", watched=NEW_PSW + 8)


def operation_exception(machine, code):
    """The kernel arrives at its handler for an instruction at PROGRAM."""
    machine.storage.write(PROGRAM, bytes.fromhex(code))
    words = struct.pack(">Q18Q", 0, KERNEL_PSW, PROGRAM + 4, *range(16))
    machine.storage.write(FRAME, words + struct.pack(">QI", 0, 0x40001))
    machine.registers |= {"pswa": OPERATION, "r2": FRAME, "r14": RETURN}
    return Stop(5, "1")


def execute(instruction, registers, memory):
    registers.gr[1] = 0x77
    if registers.gr[0]:
        raise ProgramCheck(Interruption.SPECIFICATION, "no")
    return ConditionCode.REFUSED


@pytest.fixture
def bridge():
    made = []

    def make(storage, script, way=Way.BREAKPOINT, processors=1):
        machine = ScriptedClient(storage, script)
        made.append(machine)
        client = cast("GdbClient", machine)
        return machine, Bridge(client, storage, Service(execute, storage), way=way, processors=processors)

    yield make
    for machine in made:
        machine.quiet.close()
        machine.bell.close()


def test_attach_then_serve_by_breakpoint_until_the_end(bridge, storage):
    def script(machine):
        yield from kernel_starts(machine)
        yield None  # nothing happened for a while
        yield operation_exception(machine, "b2af0000")
        yield operation_exception(machine, "00020000")
        yield Stop(0, ended=True)

    machine, made = bridge(storage, script)
    made.attach(10)
    assert machine.breaks == {(Break.SOFTWARE, OPERATION), (Break.SOFTWARE, LOADER_START)}
    machine.log.clear()
    assert made.run() is End.ENDED
    assert machine.log == ["resume", ("pswa", RETURN), "resume", "step 1", "resume"]
    assert made.way is Way.BREAKPOINT


def test_results_reach_the_interrupted_program(bridge, storage):
    def script(machine):
        yield from kernel_starts(machine)
        yield operation_exception(machine, "b2af0000")
        assert storage.word(FRAME + 8) == KERNEL_PSW | 3 << 44
        assert storage.word(FRAME + 32) == 0x77
        stop = operation_exception(machine, "b2af0000")
        storage.store_word(FRAME + 24, 1)
        yield stop
        assert machine.registers["pswa"] == SPECIFICATION
        assert storage.read(FRAME + 160, 4) == bytes.fromhex("00040006")
        yield Stop(0, ended=True)

    _, made = bridge(storage, script)
    made.attach(10)
    assert made.run() is End.ENDED


def test_restart_is_seen_and_attached_to_again(bridge, storage):
    def script(machine):
        yield from kernel_starts(machine)
        yield operation_exception(machine, "b2af0000")
        machine.registers |= {"pswa": LOADER_START, "pswm": 0x180000000}
        yield Stop(5, "1")
        assert storage.word(NEW_PSW + 8) == 0  # the old kernel's does not count
        yield from kernel_starts(machine)
        yield Stop(0, ended=True)

    machine, made = bridge(storage, script)
    made.attach(10)
    assert made.run() is End.RESTARTED
    assert machine.breaks == set()
    made.attach(10)
    assert made.run() is End.ENDED


def test_no_kernel_in_time(bridge, storage):
    def script(machine):
        while True:
            yield None

    _, made = bridge(storage, script)
    with pytest.raises(KernelError, match="no Linux kernel took over within 0 s"):
        made.attach(0)


def test_qemu_ends_before_the_kernel(bridge, storage):
    def script(machine):
        yield Stop(0, ended=True)

    _, made = bridge(storage, script)
    with pytest.raises(QemuError, match="ended before the kernel started"):
        made.attach(10)


def test_stop_from_another_thread(bridge, storage):
    def script(machine):
        yield from kernel_starts(machine)
        made.stop()
        while True:
            yield None

    _, made = bridge(storage, script)
    made.attach(10)
    assert made.run() is End.ASKED


class Processor(threading.Thread):
    """The program of the mailbox, on processor ``number``: asks, waits, and notes where it goes on."""

    def __init__(self, storage, number, space_register):
        super().__init__(daemon=True)
        self.storage = storage
        self.slot = SIZE - RESERVED + 4096 + number * 128
        self.space_register = space_register
        self.went_to = None

    def run(self):
        control = [0] * 13
        control[self.space_register - 1] = control[6] = ASCE
        self.storage.write(self.slot + 8, struct.pack(">14Q", FRAME, *control))
        self.storage.write(self.slot, (1).to_bytes(4, "big"))
        while self.storage.read(self.slot, 4) != (2).to_bytes(4, "big"):
            pass
        self.went_to = self.storage.word(self.slot + 120)


@pytest.mark.parametrize(("psw", "register"), [(KERNEL_PSW, 1), (KERNEL_PSW | 3 << 46, 13)], ids=["primary", "home"])
def test_mailbox(bridge, storage, psw, register):
    answers = []

    def script(machine):
        yield from kernel_starts(machine)
        machine.registers |= {"pswm": psw, "cr1": 0, f"cr{register}": ASCE}
        yield operation_exception(machine, "b2af0000")
        # no stop until here: the mailbox is served without
        yield Stop(0, ended=True)

    def guest(machine):
        for code, general in (("b2af0000", 0), ("b2af0000", 1), ("00020000", 0)):
            operation_exception(machine, code)
            storage.store_word(FRAME + 24, general)
            processor = Processor(storage, 1, register)
            processor.start()
            processor.join(20)
            answers.append(processor.went_to)
        machine.bell.send(b"x")

    machine, made = bridge(storage, script, Way.MAILBOX, processors=2)
    made.attach(10)
    resume = machine.resume

    def resumed():
        resume()
        if made.way is Way.MAILBOX and machine.registers["pswa"] >= SIZE:
            threading.Thread(target=guest, args=(machine,), daemon=True).start()

    machine.resume = resumed
    assert made.run() is End.ENDED
    (entry,) = [item[1] for item in machine.log if item[0] == "pswa"]
    assert entry >= SIZE
    assert answers == [0, SPECIFICATION, OPERATION]
    assert storage.word(HANDLERS + 8) == entry
    assert machine.breaks == {(Break.SOFTWARE, LOADER_START)}


def test_mailbox_falls_back_to_the_breakpoint(bridge, storage):
    def script(machine):
        yield from kernel_starts(machine)
        storage.write(SIZE - 100, b"in use")
        yield operation_exception(machine, "b2af0000")
        assert machine.registers["pswa"] == RETURN
        yield Stop(0, ended=True)

    _, made = bridge(storage, script, Way.MAILBOX)
    made.attach(10)
    assert made.run() is End.ENDED
    assert made.way is Way.BREAKPOINT
    assert "mem=" in made.reason
    assert storage.word(HANDLERS + 8) == OPERATION
