"""The storage of client processes, which may be gone, be somebody else's, or share their number with another."""

import ctypes
import errno
import mmap
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from apmatrix.faces.process import ClientTask, ProcessMemory

PAGE = mmap.PAGESIZE
VICTIM = """
import ctypes, mmap, sys
page = mmap.mmap(-1, 4096)
page[:4] = b"okay"
print(ctypes.addressof(ctypes.c_char.from_buffer(page)), flush=True)
sys.stdin.readline()
print(page[:4].decode(), flush=True)
sys.stdin.readline()
"""


class Victim:
    """Another process with a page of storage."""

    def __init__(self):
        pipe = subprocess.PIPE
        self.process = subprocess.Popen([sys.executable, "-c", VICTIM], stdin=pipe, stdout=pipe, text=True)
        assert self.process.stdin
        assert self.process.stdout
        self.ask, self.answer = self.process.stdin, self.process.stdout
        self.address = int(self.answer.readline())

    def content(self):
        self.ask.write("\n")
        self.ask.flush()
        return self.answer.readline().strip()

    def end(self):
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def victim():
    victim = Victim()
    try:
        with ProcessMemory(victim.process.pid, lambda: True):
            pass
    except OSError as error:
        victim.end()
        pytest.skip(f"no access to the storage of a child: {error.strerror}")
    yield victim
    victim.end()


def refused(call, *arguments):
    with pytest.raises(OSError) as caught:
        call(*arguments)
    return caught.value.errno


def test_storage_is_read_and_written(victim):
    with ProcessMemory(victim.process.pid, lambda: True) as memory:
        assert memory.read(victim.address, 4) == b"okay"
        memory.write(victim.address, b"done")
    assert victim.content() == "done"


def test_nothing_is_stored_once_the_process_does_not_wait(victim):
    waits = [True]
    with ProcessMemory(victim.process.pid, lambda: waits[0]) as memory:
        waits[0] = False
        assert refused(memory.write, victim.address, b"late") == errno.ESRCH
        assert refused(memory.read, victim.address, 4) == errno.ESRCH
    assert victim.content() == "okay"


def test_a_process_that_has_been_answered_is_not_accessed(victim):
    """It may have gone before its storage was opened, and another one have its number."""
    assert refused(ProcessMemory, victim.process.pid, lambda: False) == errno.ESRCH


def test_storage_ends_with_its_process(victim):
    """Whoever gets the number afterwards: the storage is that of the process that had it."""
    with ProcessMemory(victim.process.pid, lambda: True) as memory:
        victim.end()
        memory._process = os.getpid()  # the next one with the number
        own = ctypes.create_string_buffer(b"mine", PAGE)
        assert refused(memory.read, ctypes.addressof(own), 4) == errno.ESRCH
        assert refused(memory.write, ctypes.addressof(own), b"late") in (errno.ESRCH, errno.EFAULT)
        assert own.raw[:4] == b"mine"


def test_a_process_of_no_namespace_that_is_seen_here():
    assert refused(ProcessMemory, 0, lambda: True) == errno.EACCES
    assert ClientTask(0).comm == "?"


def test_a_process_that_is_gone():
    child = subprocess.Popen(["true"])
    child.wait()
    assert refused(ProcessMemory, child.pid, lambda: True) == errno.ESRCH


@pytest.mark.skipif(os.geteuid() == 0, reason="root may access every process")
def test_somebody_elses_process():
    assert refused(ProcessMemory, 1, lambda: True) == errno.EACCES


def test_no_descriptor_stays_open(victim):
    before = len(list(Path("/proc/self/fd").iterdir()))
    for process, waits in ((victim.process.pid, True), (victim.process.pid, False), (0, True), (1 << 22, True)):
        try:
            with ProcessMemory(process, partial(bool, waits)) as memory:
                memory.write(victim.address, b"done")
        except OSError:
            pass
    assert len(list(Path("/proc/self/fd").iterdir())) == before


@pytest.fixture(params=["asked", "listed"])
def areas(request, monkeypatch):
    """How the areas of storage are found: by the ioctl of newer kernels, or in the text that all have."""
    if request.param == "listed":

        def old(*_arguments):
            raise OSError(errno.ENOTTY, os.strerror(errno.ENOTTY))

        monkeypatch.setattr("apmatrix.faces.process.fcntl.ioctl", old)


@pytest.fixture
def pages(areas):
    """Three pages of this process: writable, read-only, and none."""
    libc = ctypes.CDLL(None, use_errno=True)
    area = mmap.mmap(-1, 3 * PAGE)
    start = ctypes.addressof(ctypes.c_char.from_buffer(area))
    for page, protection in ((1, mmap.PROT_READ), (2, 0)):
        assert libc.mprotect(ctypes.c_void_p(start + page * PAGE), ctypes.c_size_t(PAGE), protection) == 0
    yield start
    assert libc.mprotect(ctypes.c_void_p(start), ctypes.c_size_t(3 * PAGE), mmap.PROT_READ | mmap.PROT_WRITE) == 0


@pytest.mark.parametrize("offset", [PAGE, PAGE - 2, 2 * PAGE])
def test_what_the_process_could_not_write_itself_is_not_written(pages, offset):
    with ProcessMemory(os.getpid(), lambda: True) as memory:
        assert refused(memory.write, pages + offset, b"late") == errno.EFAULT
        memory.write(pages + PAGE - 4, b"fine")
        assert memory.read(pages + PAGE - 4, 8) == b"fine" + bytes(4)
        assert memory.read(pages + 2 * PAGE - 4, 8) == bytes(4)
        assert refused(memory.read, pages + 2 * PAGE, 4) == errno.EFAULT


@pytest.mark.parametrize("address", [0, -1, 1 << 63, (1 << 64) - 2, 0xFFFFFFFFFF600000])
def test_addresses_of_nobody(areas, address):
    with ProcessMemory(os.getpid(), lambda: True) as memory:
        assert refused(memory.write, address, b"late") == errno.EFAULT


def test_an_area_may_go_on_in_the_next(areas, tmp_path):
    """Areas of different files are listed apart, and are one piece of storage."""
    path = Path(tmp_path, "file")
    path.write_bytes(bytes(2 * PAGE))
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 2 * PAGE) as area:
        start = ctypes.addressof(ctypes.c_char.from_buffer(area))
        libc = ctypes.CDLL(None, use_errno=True)
        assert libc.madvise(ctypes.c_void_p(start), ctypes.c_size_t(PAGE), mmap.MADV_DONTFORK) == 0
        with ProcessMemory(os.getpid(), lambda: True) as memory:
            memory.write(start + PAGE - 2, b"both")
        assert area[PAGE - 2 : PAGE + 2] == b"both"
        del start
