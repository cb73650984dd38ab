"""A guest whose QEMU is missing, does not start, or ends; and what its level is to the bridge."""

import os
import sys
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest

from apmatrix.arch import (
    Apqn,
    CardType,
    CrycbFormat,
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
from apmatrix.faces.boot import BootedGuest, BootError, GuestError, Hardware, LevelProcessor, QemuError, Service
from apmatrix.faces.boot.image import StandAloneImage
from apmatrix.faces.boot.qemu import Qemu
from apmatrix.machine import ActivationProfile, Cpc, FlatMemory
from support.bench import QUEUE, REPLY


def fake(tmp_path: Path, text: str) -> Hardware:
    """A program in QEMU's place; it inherits the sockets, by descriptors named in its arguments."""
    program = tmp_path / "qemu"
    program.write_text(f"#!{sys.executable}\n{text}")
    program.chmod(0o755)
    return Hardware(tmp_path / "kernel", b"", program=str(program))


def test_missing():
    with pytest.raises(QemuError, match="no-such-qemu is not installed: install Debian's qemu-system-misc"):
        Qemu(Hardware(Path("kernel"), b"", program="no-such-qemu"))


def test_kernel_parameters_keep_the_end_of_the_storage_free_and_let_linux_poll():
    hardware = Hardware(Path("kernel"), b"", frozenset({12, 15, 65}), storage=512)
    assert hardware.kernel_parameters == "rdinit=/init console=ttysclp0 mem=523264k facilities=12,15"


def test_qemu_that_complains(tmp_path):
    level = Nothing()
    hardware = fake(tmp_path, "import sys; print('qemu: no such thing'); sys.exit('really')")
    with (
        pytest.raises(QemuError, match=r"QEMU says: (really qemu: no such thing|qemu: no such thing really)"),
        BootedGuest(hardware, level) as guest,
    ):
        guest.wait_until_ready(20)
    assert level.resets == 1


def test_qemu_that_says_nothing(tmp_path):
    with (
        pytest.raises(GuestError, match="the guest ended before it said 'ready'; it said: nothing"),
        BootedGuest(fake(tmp_path, ""), Nothing()) as guest,
    ):
        guest.wait_until_ready(20)


CONSOLE = """
import re, socket, sys, time
fd = re.search(r"id=console,fd=(\\d+)", " ".join(sys.argv))[1]
console = socket.socket(fileno=int(fd))
console.sendall(b"Linux\\n\\x1eapmatrix:ready:7.2\\n")
time.sleep(60)
"""


def test_a_guest_without_ap_instructions_is_an_error(tmp_path):
    text: list[bytes] = []
    with (
        pytest.raises(GuestError, match=r"Linux 7\.2 is up but executed no AP instruction"),
        BootedGuest(fake(tmp_path, CONSOLE), Nothing(), text=text.append) as guest,
    ):
        guest.wait_until_ready(20)
    assert text == [b"Linux\n"]


def test_a_guest_that_never_gets_ready(tmp_path):
    hardware = fake(tmp_path, CONSOLE.replace("apmatrix:ready", "apmatrix:other"))
    with (
        pytest.raises(GuestError, match=r"no 'ready' from the guest within 0 s"),
        BootedGuest(hardware, Nothing()) as guest,
    ):
        guest.wait_until_ready(0)


def test_qemu_that_is_killed(tmp_path):
    level = Nothing()
    hardware = fake(tmp_path, "import os; os.kill(os.getpid(), 9)")
    with (
        pytest.raises(QemuError, match=r"QEMU was killed \(signal 9\)"),
        BootedGuest(hardware, level) as guest,
    ):
        guest.wait_until_ready(20)
    assert level.resets == 1


class Nothing:
    """A level without a machine; counts its resets."""

    facilities = frozenset[int]()

    def __init__(self):
        self.resets = 0

    def attach(self, storage):
        return Service(self.execute, storage)

    def execute(self, instruction, registers, memory):
        raise AssertionError("an AP instruction was executed")

    def reset(self):
        self.resets += 1


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("print('Invalid read at addr 0x5EADB000')", None),
        (
            "print('Guest crashed on cpu 0: disabled-wait\\nPSW: 0x0002000180000000 0x00000000deadbeef')",
            "the program crashed: disabled wait, PSW 0002000180000000 00000000deadbeef",
        ),
        ("import sys; print('qemu: no such thing'); sys.exit(1)", "QEMU says: qemu: no such thing"),
    ],
)
def test_the_end_of_a_stand_alone_program(tmp_path, text, error):
    told: list[bytes] = []
    program = CONSOLE.replace("time.sleep(60)", text)
    hardware = replace(fake(tmp_path, program), initrd=None, stand_alone=StandAloneImage(()))
    with (
        pytest.raises(BootError, match=error) if error else nullcontext(),
        BootedGuest(hardware, Nothing()) as guest,
    ):
        guest.listen(told.append)
    assert told == [b"Linux\n"]


def test_a_guest_with_a_file_system_of_ones_own_must_have_used_its_cards_too(tmp_path):
    source, keys = os.pipe()
    with (
        pytest.raises(GuestError, match="the guest has ended but executed no AP instruction"),
        BootedGuest(fake(tmp_path, ""), Nothing()) as guest,
    ):
        guest.converse(source, keys)
    os.close(source)
    os.close(keys)


@pytest.fixture
def machine():
    made = Cpc(facilities=(12, 15, 65, 76))
    made.add_adapter(5, CardType.parse("CEX8C"))
    made.add_lpar(ActivationProfile("one", Matrix(Mask.of(5), Mask.of(4))))
    made.add_lpar(ActivationProfile("two", Matrix(Mask.of(5), Mask.of(6))))
    yield made
    made.close()


def tapq(processor, code):
    """GR1 after TAPQ for the queue with this code."""
    registers = Registers()
    registers.gr[0] = code
    processor.execute(Instruction(Opcode.PQAP), registers, FlatMemory(4096))
    return registers.gr[1]


def test_an_intruder_gets_not_available(machine):
    processor = LevelProcessor(machine, machine.lpars["one"].level)
    assert tapq(processor, 0x0504) == 0x80000000
    assert tapq(processor, 0x0506) == 0x00010000
    assert processor.facilities == {12, 15, 65}


def test_reset_takes_everything_off_the_level_and_nothing_off_others(machine):
    levels = [machine.lpars[name].level for name in ("one", "two")]
    for level, domain in zip(levels, (4, 6), strict=True):
        assert machine.port(level, Apqn(5, domain)).nqap(1, b"\0\x06" + bytes(300)).ok
    LevelProcessor(machine, levels[0]).reset()
    assert machine.port(levels[0], Apqn(5, 4)).tapq()[0].empty
    assert not machine.port(levels[1], Apqn(5, 6)).tapq()[0].empty


def test_a_fault_of_zapq_leaves_nothing_of_an_ended_guest(bench):
    guest = bench.level.child("guest")
    guest.set_matrix(bench.level.matrix)
    bench.load(in_process=1, replies=1)
    bench.enable()
    bench.answer(QueueFunction.ZAPQ, ResponseCode.RESET_IN_PROGRESS)
    LevelProcessor(bench.machine, guest).reset()
    status, _ = bench.machine.port(guest, QUEUE).tapq()
    assert (status.ok, status.empty, status.interrupts_enabled) == (True, True, False)
    bench.steps.finish()
    assert bench.machine.port(guest, QUEUE).dqap(len(REPLY)).status.response_code is ResponseCode.NO_PENDING_REPLY
    assert bench.machine.port(guest, QUEUE).zapq().response_code is ResponseCode.RESET_IN_PROGRESS  # not used up


def test_a_guest_that_ends_in_a_reset_leaves_a_queue_that_works(bench):
    bench.run_reset()
    LevelProcessor(bench.machine, bench.level).reset()
    assert bench.machine.port(bench.level, QUEUE).nqap(1, b"of the next").ok


def test_an_instruction_that_nobody_handles_is_not_installed(machine):
    child = machine.lpars["one"].level.child("guest", CrycbFormat.FORMAT_2)
    child.interpret = False
    with pytest.raises(ProgramCheck) as caught:
        tapq(LevelProcessor(machine, child), 0x0504)
    assert caught.value.code is Interruption.OPERATION
