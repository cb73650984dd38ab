"""Stand-alone programs: how they are known, and the bridge to one that is a dictionary of registers."""

import shutil
import struct
import subprocess
from typing import TYPE_CHECKING, cast

import pytest

from apmatrix.arch import ConditionCode, Interruption, ProgramCheck
from apmatrix.faces.boot import Software
from apmatrix.faces.boot.bridge import NEW_PSW, End
from apmatrix.faces.boot.errors import KernelError, PackageError
from apmatrix.faces.boot.image import StandAloneImage
from apmatrix.faces.boot.service import Service
from apmatrix.faces.boot.standalone import INTERRUPTION_CODE, OLD_PSW, SAVE_AREA, STFLE, StandAloneBridge
from apmatrix.faces.gdb import Break, Stop
from support.documents import ROOT
from support.standalone import PROGRAM, START, STFLE_AT, elf, flat
from support.storage import guest_storage

if TYPE_CHECKING:
    from apmatrix.faces.gdb import GdbClient

HANDLER, INSTRUCTION, LIST = START + 0x98, 0x20000, 0x30000
PSW = 0x0000_0001_8000_0000
PROBLEM_STATE = 1 << 48
LINUX = flat(bytes(8) + b"S390EP")


# what is in a file


@pytest.mark.parametrize("content", [flat(), elf()])
def test_a_stand_alone_program_needs_no_initramfs(tmp_path, content):
    kernel = tmp_path / "program"
    kernel.write_bytes(content)
    assert Software(str(kernel)).prepare(print) == (kernel, None)
    image = StandAloneImage.read(kernel)
    assert image is not None
    assert list(image.places(STFLE)) == [STFLE_AT]


@pytest.mark.parametrize(
    "content",
    [
        *(LINUX, elf(bytes(8) + b"S390EP"), elf(bytes(0x208) + b"S390EP", 0xFE00)),
        *(b"#!/bin/sh\n", flat()[:4] + bytes(8)),
    ],
)
def test_linux_and_what_is_no_stand_alone_program(tmp_path, content):
    (tmp_path / "kernel").write_bytes(content)
    assert StandAloneImage.read(tmp_path / "kernel") is None


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "it has 0 bytes only"),
        (flat()[:4], "it has 4 bytes only"),
        (elf()[:12], "ends too early"),
        (elf()[:100], "ends too early"),
        (elf()[:-1], "ends too early"),
        (elf()[:32] + b"\xff" * 8 + elf()[40:], "ends too early"),  # the table of segments is far away
        (elf(machine=62), "for another architecture"),
        (b"\x7fELF\x02\x01" + elf()[6:], "for another architecture"),  # little-endian
        (b"\x7fELF\x01\x02" + elf()[6:], "for another architecture"),  # 32 bits
    ],
)
def test_what_cannot_be_a_kernel_is_refused_before_anything_is_fetched(tmp_path, content, reason):
    (tmp_path / "kernel").write_bytes(content)
    with pytest.raises(KernelError, match=reason):
        StandAloneImage.read(tmp_path / "kernel")


def test_only_code_at_even_addresses_can_be_executed(tmp_path):
    (tmp_path / "kernel").write_bytes(elf(b"\0" + STFLE + STFLE + b"\0" + STFLE))
    image = StandAloneImage.read(tmp_path / "kernel")
    assert image is not None
    assert list(image.places(STFLE)) == [START + 6]


def test_a_file_that_cannot_be_read(tmp_path):
    with pytest.raises(PackageError, match="cannot be read"):
        StandAloneImage.read(tmp_path)


def test_the_program_is_what_its_source_says(tmp_path):
    assembler, copier = shutil.which("s390x-linux-gnu-as"), shutil.which("s390x-linux-gnu-objcopy")
    if not assembler or not copier:
        pytest.skip("needs Debian's binutils-s390x-linux-gnu")
    subprocess.run([assembler, "-o", tmp_path / "o", ROOT / "tests/data/standalone.s"], check=True)
    subprocess.run([copier, "-O", "binary", tmp_path / "o", tmp_path / "bin"], check=True)
    assert (tmp_path / "bin").read_bytes() == PROGRAM


# the bridge


class ScriptedClient:
    """What a GdbClient does, for a program whose every move is scripted."""

    def __init__(self, storage, script):
        self.storage = storage
        self.script = script(self)
        self.registers = {f"r{number}": number for number in range(16)}
        self.registers |= {"pswm": PSW, "pswa": START, "cr1": 0, "cr7": 0, "cr13": 0}
        self.breaks = set()
        self.stepped = []

    def insert(self, kind, address, length=2):
        assert (kind, address) not in self.breaks
        self.breaks.add((kind, address))

    def remove(self, kind, address, length=2):
        self.breaks.remove((kind, address))

    def read_register(self, name):
        return self.registers[name]

    def write_register(self, name, value):
        self.registers[name] = value

    def read_memory(self, address, length):
        return self.storage.read(address, length)

    def write_memory(self, address, data):
        self.storage.write(address, data)

    def select(self, thread):
        pass

    def resume(self):
        pass

    def step(self, thread):
        self.stepped.append(self.registers["pswa"])
        if self.registers["pswa"] == STFLE_AT:
            self.storage.write(LIST, bytes(16))
            self.registers |= {"pswa": STFLE_AT + 4, "r0": 3}

    def wait(self, timeout):
        if self.stepped and self.stepped[-1] is not None:
            self.stepped.append(None)
            return Stop(5, "1")
        return next(self.script)


def execute(instruction, registers, memory):
    """TAPQ with a result, or an exception if GR0 is not 0; QCI would store where GR2 designates."""
    if registers.problem_state:
        raise ProgramCheck(Interruption.PRIVILEGED_OPERATION, "no")
    if registers.gr[0]:
        raise ProgramCheck(Interruption.SPECIFICATION, "no")
    registers.gr[1] = 0x77
    memory.write(LIST, b"stored")
    return ConditionCode.REFUSED


@pytest.fixture
def storage():
    with guest_storage(1 << 20) as made:
        made.write(START, PROGRAM)
        made.write(SAVE_AREA, b"before" * 28)
        yield made


@pytest.fixture
def run(storage, tmp_path):
    def run(script, facilities=frozenset({12, 15, 65})):
        (tmp_path / "program").write_bytes(elf())
        image = StandAloneImage.read(tmp_path / "program")
        assert image is not None
        machine = ScriptedClient(storage, script)
        client = cast("GdbClient", machine)
        bridge = StandAloneBridge(client, storage, Service(execute, storage), image, facilities)
        bridge.attach(10)
        return machine, bridge

    return run


def starts(machine, handler=HANDLER):
    """The program sets its handler of program interruptions."""
    machine.storage.store_word(NEW_PSW + 8, handler)
    machine.registers["pswa"] = START + 12
    return Stop(5, "1", watched=NEW_PSW + 8)


def interrupted(machine, code, *, mask=PSW, interruption=1, **registers):
    """The program arrives at its handler for an instruction at INSTRUCTION."""
    machine.storage.write(INSTRUCTION, bytes.fromhex(code))
    machine.storage.write(INTERRUPTION_CODE, struct.pack(">H", interruption))
    machine.storage.write(OLD_PSW, struct.pack(">QQ", mask, INSTRUCTION + 4))
    machine.registers |= {"pswm": PSW, "pswa": HANDLER} | registers
    return Stop(5, "1")


def test_the_program_goes_on_after_an_instruction(run, storage):
    def script(machine):
        yield starts(machine)
        yield None
        yield interrupted(machine, "b2af0000", r0=0)
        assert machine.registers["r1"] == 0x77
        assert (machine.registers["pswm"], machine.registers["pswa"]) == (PSW | 3 << 44, INSTRUCTION + 4)
        yield Stop(0, ended=True)

    machine, bridge = run(script)
    assert bridge.run() is End.ENDED
    assert machine.stepped == []
    assert storage.read(LIST, 6) == b"stored"
    assert storage.read(SAVE_AREA, 168) == b"before" * 28


@pytest.mark.parametrize(
    ("code", "mask", "interruption", "seen"),
    [
        ("b2af0000", PSW, 1, 6),
        ("b2af0000", PSW | PROBLEM_STATE, 1, 2),
        ("00000000", PSW, 1, 1),  # another instruction that does not exist
        ("b2af0000", PSW, 4, 4),  # another exception
    ],
)
def test_the_handler_sees_the_interruption_that_there_is(run, storage, code, mask, interruption, seen):
    def script(machine):
        yield starts(machine)
        yield interrupted(machine, code, mask=mask, interruption=interruption, r0=1)
        yield Stop(0, ended=True)

    machine, bridge = run(script)
    assert bridge.run() is End.ENDED
    assert machine.stepped == [HANDLER, None]
    assert storage.read(INTERRUPTION_CODE, 2) == struct.pack(">H", seen)


def test_breakpoints_follow_the_handler_and_end_with_a_restart(run):
    def script(machine):
        yield starts(machine)
        yield starts(machine, HANDLER + 2)
        assert {address for kind, address in machine.breaks if kind is Break.SOFTWARE} == {
            *(START, STFLE_AT, HANDLER + 2)
        }
        machine.registers["pswa"] = START
        yield Stop(5, "1")
        yield starts(machine)
        yield Stop(0, ended=True)

    machine, bridge = run(script)
    assert bridge.run() is End.RESTARTED
    assert machine.breaks == set()
    bridge.attach(10)
    assert bridge.run() is End.ENDED


@pytest.mark.parametrize(
    ("doublewords", "facilities", "stored"),
    [
        (4, {12, 15, 65}, "00090000000000004000000000000000"),
        (1, {12, 15, 65}, "00090000000000000000000000000000"),
        (2, {12}, "00080000000000000000000000000000"),
    ],
)
def test_facilities_of_ap_are_added_to_those_of_the_processor(run, storage, doublewords, facilities, stored):
    def script(machine):
        yield starts(machine)
        machine.registers |= {"pswa": STFLE_AT, "r0": doublewords - 1, "r4": LIST}
        yield Stop(5, "1")
        assert machine.registers["pswa"] == STFLE_AT + 4
        yield Stop(0, ended=True)

    _, bridge = run(script, frozenset(facilities))
    assert bridge.run() is End.ENDED
    assert storage.read(LIST, 16).hex() == stored


def test_a_bridge_that_is_asked_to_stop(run):
    def script(machine):
        bridge.stop()
        yield None

    _, bridge = run(script)
    assert bridge.run() is End.ASKED
