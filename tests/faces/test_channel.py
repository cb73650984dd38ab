"""Who answers a request, with a socket for the kernel's end: the order of events is forced, not hoped for."""

import errno
import itertools
import os
import socket
import struct
import threading

import pytest

from apmatrix.faces.fuse import wire
from apmatrix.faces.fuse.channel import WORKERS, Channel
from apmatrix.faces.fuse.wire import FuseOpcode

PATIENCE = 30


class Files:
    """A file system: READ is answered at once, WRITE waits for ``go`` on another thread, LOOKUP on the leader's."""

    def __init__(self):
        self.channel: Channel
        self.go = threading.Event()
        self.begun = threading.Semaphore(0)
        self.done = []
        self.interrupted = []
        self.signal = threading.Semaphore(0)
        self.over = threading.Event()
        self.work = self.wait

    @property
    def operations(self):
        return {
            FuseOpcode.READ: lambda _request: b"read",
            FuseOpcode.WRITE: lambda request: self.channel.defer(request, self.work),
            FuseOpcode.LOOKUP: self.wait,
        }

    def wait(self, request):
        self.begun.release()
        assert self.go.wait(PATIENCE)
        self.done.append(request.unique)
        return b"done"

    def interrupt(self, request):
        self.interrupted.append(request.unique)
        self.signal.release()

    def ended(self):
        self.over.set()


class Kernel:
    """The other end of /dev/fuse."""

    def __init__(self):
        device, self.end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.end.settimeout(PATIENCE)
        self.files = Files()
        self.channel = self.files.channel = Channel(device.detach(), self.files, "test")
        self.numbers = itertools.count(2, 2)

    def send(self, opcode, body=b""):
        unique = next(self.numbers)
        length = wire.REQUEST.size + len(body)
        self.end.send(struct.pack("=IIQQIIII", length, opcode, unique, 1, 0, 0, os.getpid(), 0) + body)
        return unique

    def interrupt(self, unique):
        self.send(FuseOpcode.INTERRUPT, wire.INTERRUPT.pack(unique))

    def answer(self):
        """The next answer: the request's number, the error, and the data."""
        data = self.end.recv(4096)
        _, error, unique = wire.REPLY.unpack_from(data)
        return unique, -error, data[wire.REPLY.size :]

    def is_alive(self):
        """True if a request that has nothing to wait for is answered."""
        unique = self.send(FuseOpcode.READ)
        return self.answer() == (unique, 0, b"read")

    def says_nothing_more(self):
        """True if all work of the pool is done and nothing is to be read."""
        self.channel._pool.shutdown()
        self.end.setblocking(False)
        try:
            self.end.recv(1)
        except BlockingIOError:
            return True
        return False


@pytest.fixture
def kernel():
    kernel = Kernel()
    kernel.channel.start()
    yield kernel
    kernel.files.go.set()
    kernel.end.close()
    assert kernel.files.over.wait(PATIENCE)


def leader():
    (thread,) = (thread for thread in threading.enumerate() if thread.name == "test leader")
    return thread


@pytest.fixture
def preempted(kernel):
    """A request that a leader has just deferred when it is stopped, until another has taken over and it has ended."""
    submit, go = kernel.channel._pool.submit, threading.Event()

    def slow(*arguments):
        submit(*arguments)
        assert go.wait(PATIENCE)

    kernel.channel._pool.submit = slow
    old = leader()
    unique = kernel.send(FuseOpcode.WRITE)
    assert kernel.files.begun.acquire(timeout=PATIENCE)
    kernel.channel._pool.submit = submit
    assert kernel.is_alive()
    go.set()
    old.join(PATIENCE)
    assert not old.is_alive()
    return unique


def test_a_deferred_request_outlives_its_leader(kernel, preempted):
    kernel.interrupt(preempted)
    assert kernel.files.signal.acquire(timeout=PATIENCE)
    assert kernel.files.interrupted == [preempted]
    kernel.files.go.set()
    assert kernel.answer() == (preempted, 0, b"done")


def test_the_end_of_a_session_answers_what_a_former_leader_deferred(kernel, preempted):
    kernel.channel.abort()
    assert kernel.answer() == (preempted, errno.ENOTCONN, b"")
    assert kernel.files.interrupted == [preempted]


def test_the_end_of_a_session_is_the_only_answer(kernel):
    """Operations that end later have none: those on the pool, and one that a former leader is in."""
    first, second = kernel.send(FuseOpcode.WRITE), kernel.send(FuseOpcode.LOOKUP)
    for _ in range(2):
        assert kernel.files.begun.acquire(timeout=PATIENCE)
    kernel.channel.abort()
    assert {kernel.answer() for _ in range(2)} == {(first, errno.ENOTCONN, b""), (second, errno.ENOTCONN, b"")}
    kernel.files.go.set()
    last = kernel.send(FuseOpcode.READ)
    assert kernel.answer() == (last, errno.ENOTCONN, b"")
    assert kernel.says_nothing_more()


def test_a_request_that_ends_the_session_has_one_answer(kernel):
    """The operation is done, and not yet answered, when the session ends."""

    def end(_request):
        kernel.channel.abort()
        return b"late"

    kernel.files.work = end
    unique = kernel.send(FuseOpcode.WRITE)
    assert kernel.answer() == (unique, errno.ENOTCONN, b"")
    assert kernel.says_nothing_more()


def test_a_signal_ends_what_waits_for_a_thread(kernel):
    """All threads of the pool are busy, and nobody would look at the request before one is free."""
    busy = [kernel.send(FuseOpcode.WRITE) for _ in range(WORKERS)]
    for _ in busy:
        assert kernel.files.begun.acquire(timeout=PATIENCE)
    more = kernel.send(FuseOpcode.WRITE)
    kernel.interrupt(more)
    assert kernel.answer() == (more, errno.EINTR, b"")
    kernel.files.go.set()
    assert {kernel.answer()[0] for _ in busy} == set(busy)
    assert kernel.says_nothing_more()
    assert more not in kernel.files.done


def test_nothing_is_begun_after_the_end_of_a_session(kernel):
    busy = [kernel.send(FuseOpcode.WRITE) for _ in range(WORKERS)]
    for _ in busy:
        assert kernel.files.begun.acquire(timeout=PATIENCE)
    more = kernel.send(FuseOpcode.WRITE)
    assert kernel.is_alive()
    kernel.channel.abort()
    assert {kernel.answer()[0] for _ in range(WORKERS + 1)} == {*busy, more}
    assert set(kernel.files.interrupted) == {*busy, more}
    kernel.files.go.set()
    assert kernel.says_nothing_more()
    assert more not in kernel.files.done


def test_whoever_waits_when_the_file_system_goes_is_signalled(kernel):
    unique = kernel.send(FuseOpcode.WRITE)
    assert kernel.files.begun.acquire(timeout=PATIENCE)
    kernel.end.close()
    assert kernel.files.signal.acquire(timeout=PATIENCE)
    assert kernel.files.interrupted == [unique]


def test_a_process_waits_until_it_is_answered_or_the_connection_is_cut(kernel):
    answers = []

    def look(request):
        answers.append(kernel.channel.waits(request))
        kernel.end.shutdown(socket.SHUT_RDWR)
        answers.append(kernel.channel.waits(request))
        return b""

    kernel.files.work = look
    kernel.send(FuseOpcode.WRITE)
    assert kernel.files.over.wait(PATIENCE)
    kernel.channel._pool.shutdown()
    assert answers == [True, False]


@pytest.mark.parametrize("number", [1, 2, 3])
def test_without_threads_nothing_is_left(monkeypatch, number):
    """The first, second or third thread cannot be started: the device is closed, and the others end."""
    kernel, start = Kernel(), threading.Thread.start
    started: list[threading.Thread] = []

    def refuse(thread):
        if len(started) == number - 1:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(RuntimeError):
        kernel.channel.start()
    for thread in started:
        thread.join(PATIENCE)
    assert kernel.end.recv(1) == b""  # the other end is closed
    assert kernel.files.over.is_set()
    kernel.end.close()
