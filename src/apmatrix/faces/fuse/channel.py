"""One FUSE connection: requests from the kernel to a handler, replies and notices back.

Three threads at rest. The *leader* reads and answers one request after the other: that is half as fast again as
several readers that take turns (measured; docs/clients.md). Some requests block for long, such as the
removal of an mdev that a guest uses, and must not stop the others: the *watcher* checks every few
milliseconds and becomes leader itself, with a new watcher, when the leader has been busy with one request all
that time. The old leader answers its request when it can, and ends. While nothing happens the watcher sleeps.

Notices have a thread of their own: an invalidation takes the directory's inode lock, which may be held by a
process whose readdir waits for the leader.

A request is *waiting* from the moment it is read until somebody answers it: its operation, on whatever thread, or
an interruption, or the end of the session. Whoever takes it out of the table of waiting requests answers it, and
nobody else.

Lock: ``_lock`` guards the lead, the table, and the number of users of the device; nothing else is taken under it.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import queue
import select
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final, Protocol

from apmatrix.faces.fuse import wire
from apmatrix.faces.fuse.wire import FuseOpcode, InitFlag, Notice
from apmatrix.faces.process import ClientTask

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

MAX_WRITE: Final = 8192
"""Twice what sysfs takes in one write, so that a longer one comes as one request and is cut as sysfs cuts it."""

WORKERS: Final = 32
"""How many requests are worked on at the same time beside the leader's."""

_LARGEST_IOCTL: Final = (1 << 14) - 1  # the largest structure that an ioctl's number can state
_BUFFER: Final = max(MAX_WRITE, _LARGEST_IOCTL) + 4096
_EAGERNESS: Final = 100e-6
_PATIENCE: Final = 0.005
_QUIET: Final = 20
_RETRY: Final = frozenset({errno.EINTR, errno.ENOENT})
_EXPECTED: Final = frozenset({errno.ENOENT, errno.ENODEV, errno.ENOTDIR})
_SILENT: Final = frozenset({FuseOpcode.FORGET, FuseOpcode.BATCH_FORGET, FuseOpcode.INTERRUPT})

_log = logging.getLogger(__name__)


class FuseRequest:
    """A process's request: ``node`` is the inode, ``body`` the operation's own structure.

    ``process`` is its thread's number in the PID namespace of the process that created the file system, 0 if it has
    none there; ``task`` is the same thread for the emulated kernel. ``waiting`` is true until the request is
    answered, and ``deferred`` while its work waits for a thread of the pool.
    """

    __slots__ = ("body", "deferred", "node", "opcode", "process", "task", "unique", "waiting")

    def __init__(self, data: bytes) -> None:
        self.opcode, self.unique, self.node, self.process = wire.REQUEST.unpack_from(data)
        self.body = data[wire.REQUEST.size :]
        self.task = ClientTask(self.process)
        self.waiting = False
        self.deferred = False


class Handler(Protocol):
    """Answers the requests of a file system."""

    @property
    def operations(self) -> Mapping[int, Callable[[FuseRequest], bytes | None]]:
        """The operations by opcode: each returns bytes, or None for no reply (FORGET), or raises OSError."""

    def interrupt(self, request: FuseRequest) -> None:
        """Called when a signal reached the process that waits for ``request``, or the session ends."""

    def ended(self) -> None:
        """Called when the file system was unmounted."""


class _Shift:
    """One thread's turn as leader, and the request that it is busy with."""

    __slots__ = ("request",)

    def __init__(self) -> None:
        self.request: FuseRequest | None = None


class Channel:
    """Serves one mounted file system from an open ``/dev/fuse`` until that is unmounted."""

    def __init__(self, device: int, handler: Handler, name: str = "fuse", *, eager: bool = False) -> None:
        """``eager`` suits a handler that answers at once; it has no effect with a single processor."""
        self.device = device
        self.name = name
        self.handler = handler
        self.ended = threading.Event()
        self._operations: dict[int, Callable[[FuseRequest], bytes | None]] = {
            FuseOpcode.INIT: _init,
            FuseOpcode.INTERRUPT: self._interrupt,
            **handler.operations,
        }
        self._lock = threading.Lock()
        self._shift = _Shift()
        self._waiting: dict[int, FuseRequest] = {}
        self._aborted = False
        self._users = 0
        self._closed = False
        self._activity = threading.Event()
        self._notices: queue.SimpleQueue[bytes | threading.Event | None] = queue.SimpleQueue()
        self._queued = 0
        self._pool = ThreadPoolExecutor(WORKERS, thread_name_prefix=f"{name} worker")
        self._sent = 0
        self._eagerness = _EAGERNESS if eager and len(os.sched_getaffinity(0)) > 1 else 0.0
        self._arrival = select.poll()

    def start(self) -> None:
        """Begin to serve, in threads of its own; the device now belongs to the channel, whatever happens."""
        with self._in_use():
            try:
                if self._eagerness:
                    os.set_blocking(self.device, False)
                    self._arrival.register(self.device, select.POLLIN)
                self._spawn(self._send_notices, "notices")
                self._spawn(self._watch, "watcher")
                self._spawn(self._lead, "leader")
            except BaseException:
                self._end()
                self.handler.ended()
                raise

    def abort(self) -> None:
        """Answer every request that waits, and whatever comes later, with ENOTCONN, and signal the tasks.

        For the end of a session: a process that waits in a blocked write cannot even be killed. Work that goes on is
        neither answered nor stored; the memory that it might just be storing to is the caller's own.
        """
        with self._in_use() as usable:
            with self._lock:
                self._aborted = True
                left = self._take_all()
            for request in left:
                if usable:
                    self._write(_failure(request.unique, errno.ENOTCONN))
        for request in left:
            self.handler.interrupt(request)

    def waits(self, request: FuseRequest) -> bool:
        """True while the process that made ``request`` waits in the kernel for the answer.

        It does until it is answered, or the connection is cut: with ``umount -f`` or in ``/sys/fs/fuse``.
        """
        with self._in_use() as usable:
            if not usable:
                return False
            cut = select.poll()
            cut.register(self.device, 0)
            return not cut.poll(0) and request.waiting

    def notify(self, notice: Notice, payload: bytes) -> None:
        """Send the kernel a notice, soon, from the notices' own thread; never blocks."""
        with self._lock:
            self._queued += 1
            self._notices.put(wire.REPLY.pack(wire.REPLY.size + len(payload), notice, 0) + payload)

    def flush(self) -> None:
        """Wait until the kernel has taken every notice given before."""
        if self._queued != self._sent and not self.ended.is_set():
            done = threading.Event()
            self._notices.put(done)
            while not (done.wait(1) or self.ended.is_set()):
                pass

    def defer(self, request: FuseRequest, work: Callable[[FuseRequest], bytes]) -> None:
        """Let ``work`` answer a request on a thread of a pool; for an operation that then returns None."""
        request.deferred = True
        self._pool.submit(self._work, request, work)

    def _work(self, request: FuseRequest, work: Callable[[FuseRequest], bytes]) -> None:
        with self._lock:
            request.deferred = False
            if not request.waiting:
                return
        reply = self._perform(request, work)
        if reply is not None:
            with self._in_use():
                self._reply(request, reply)

    def _take(self, request: FuseRequest) -> bool:
        """Become the one who answers ``request``; False if somebody else did. Under the lock."""
        request.waiting = False
        return self._waiting.pop(request.unique, None) is not None

    def _take_all(self) -> list[FuseRequest]:
        """Become the one who answers every request that waits; under the lock."""
        left = list(self._waiting.values())
        return [request for request in left if self._take(request)]

    def _reply(self, request: FuseRequest, message: bytes) -> None:
        """Answer ``request``, unless it has been answered; the caller uses the device."""
        with self._lock:
            mine = self._take(request)
        if mine:
            self._write(message)

    @contextlib.contextmanager
    def _in_use(self) -> Iterator[bool]:
        """Keep the device open for a block; False if it is closed. The last user closes it."""
        with self._lock:
            usable = not self._closed
            self._users += usable
        try:
            yield usable
        finally:
            if usable:
                self._leave()

    def _leave(self) -> None:
        with self._lock:
            self._users -= 1
            last = self._closed = self._users == 0
        if last:
            os.close(self.device)

    def _spawn(self, target: Callable[[], None], role: str) -> None:
        with self._lock:
            self._users += 1

        def run() -> None:
            try:
                target()
            finally:
                self._leave()

        try:
            threading.Thread(target=run, name=f"{self.name} {role}", daemon=True).start()
        except RuntimeError:
            self._leave()
            raise

    def _lead(self) -> None:
        shift = self._shift = _Shift()
        while self._shift is shift:
            data = self._read()
            if data is None:
                self._end()
                self.handler.ended()
                return
            request = FuseRequest(data)
            admitted = self._admit(request)
            shift.request = request
            if not self._activity.is_set():
                self._activity.set()
            reply = self._perform(request, self._operations.get(request.opcode, _unknown)) if admitted else None
            shift.request = None
            if reply is not None:
                self._reply(request, reply)

    def _admit(self, request: FuseRequest) -> bool:
        """Enter a new request into the table; False if it has been refused because the session is over."""
        if request.opcode in _SILENT:
            return True
        with self._lock:
            request.waiting = True
            self._waiting[request.unique] = request
        if self._aborted and request.opcode != FuseOpcode.INIT:
            self._reply(request, _failure(request.unique, errno.ENOTCONN))
            return False
        return True

    def _end(self) -> None:
        """End all threads: the connection is over, and so is whatever waits."""
        self.ended.set()
        self._activity.set()
        self._notices.put(None)
        with self._lock:
            left = self._take_all()
        self._pool.shutdown(wait=False, cancel_futures=True)
        for request in left:
            self.handler.interrupt(request)

    def _watch(self) -> None:
        """Become leader when the leader is stuck."""
        before: FuseRequest | None = None
        quiet = 0
        while not self.ended.is_set():
            shift = self._shift
            current = shift.request
            if current is not None and current is before and self._succeed(shift, current):
                self._spawn(self._watch, "watcher")
                self._lead()
                return
            quiet = 0 if current is not None else quiet + 1
            before = current
            if quiet < _QUIET:
                self.ended.wait(_PATIENCE)
            else:
                self._sleep(shift)
                quiet = 0

    def _sleep(self, shift: _Shift) -> None:
        """Wait for a request to be worked on."""
        self._activity.clear()
        if shift.request is None and self._shift is shift and not self.ended.is_set():
            self._activity.wait()

    def _succeed(self, shift: _Shift, stuck: FuseRequest) -> bool:
        with self._lock:
            if shift.request is not stuck:
                return False
            self._shift = _Shift()
            return True

    def _read(self) -> bytes | None:
        """The next request; None at the end of the connection."""
        until = time.perf_counter() + self._eagerness if self._eagerness else 0.0
        while True:
            try:
                return os.read(self.device, _BUFFER) or None
            except BlockingIOError:
                if time.perf_counter() >= until:
                    self._arrival.poll()
            except OSError as error:
                if error.errno not in _RETRY:
                    return None

    def _write(self, message: bytes) -> None:
        if self.ended.is_set():
            return
        try:
            os.write(self.device, message)
        except OSError as error:
            # ENOENT: the request was aborted meanwhile, or nothing of the kind is cached. ENODEV: unmounted.
            if error.errno not in _EXPECTED:
                _log.warning("%s: the kernel refused a message: %s", self.name, error)

    def _perform(self, request: FuseRequest, operation: Callable[[FuseRequest], bytes | None]) -> bytes | None:
        try:
            body = operation(request)
        except OSError as error:
            return _failure(request.unique, error.errno or errno.EIO)
        except Exception:
            _log.exception("%s: request %d", self.name, request.opcode)
            return _failure(request.unique, errno.EIO)
        if body is None:
            return None
        return wire.REPLY.pack(wire.REPLY.size + len(body), 0, request.unique) + body

    def _interrupt(self, request: FuseRequest) -> None:
        # Only a request that was deferred, or that a former leader is busy with, can wait at this moment.
        (unique,) = wire.INTERRUPT.unpack_from(request.body)
        with self._lock:
            waiting = self._waiting.get(unique)
            unstarted = waiting is not None and waiting.deferred and self._take(waiting)
        if waiting is None:
            return
        if unstarted:
            self._write(_failure(unique, errno.EINTR))
        else:
            self.handler.interrupt(waiting)

    def _send_notices(self) -> None:
        while (item := self._notices.get()) is not None:
            if isinstance(item, threading.Event):
                item.set()
            else:
                self._write(item)
                self._sent += 1


def _failure(unique: int, error: int) -> bytes:
    return wire.REPLY.pack(wire.REPLY.size, -error, unique)


def _unknown(_request: FuseRequest) -> bytes:
    raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))


def _init(request: FuseRequest) -> bytes:
    major, minor, read_ahead, offered = wire.INIT_REQUEST.unpack_from(request.body)
    if major != wire.VERSION[0] or minor < wire.VERSION[1]:
        raise OSError(errno.EPROTO, f"the kernel speaks FUSE {major}.{minor}, too old")
    wanted = InitFlag.BIG_WRITES | InitFlag.PARALLEL_DIROPS | InitFlag.CACHE_SYMLINKS
    return wire.INIT_REPLY.pack(*wire.VERSION, read_ahead, offered & wanted, 64, 48, MAX_WRITE, 1, 0, 0, 0, 0)
