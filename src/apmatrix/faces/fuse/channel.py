"""One FUSE connection: requests from the kernel to a handler, replies and notices back.

Three threads at rest. The *leader* reads and answers one request after the other: that is half as fast again as
several readers that take turns (measured; docs/clients.md). Some requests block for long, such as the
removal of an mdev that a guest uses, and must not stop the others: the *watcher* checks every few
milliseconds and becomes leader itself, with a new watcher, when the leader has been busy with one request all
that time. The old leader answers its request when it can, and ends. While nothing happens the watcher sleeps.

Notices have a thread of their own: an invalidation takes the directory's inode lock, which may be held by a
process whose readdir waits for the leader.

Lock: ``_lock`` guards the lead and the table of blocked requests; nothing else is ever taken under it.
"""

from __future__ import annotations

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

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

MAX_WRITE: Final = 8192
"""Twice what sysfs takes in one write, so that a longer one comes as one request and is cut as sysfs cuts it."""

_BUFFER: Final = MAX_WRITE + 4096
_EAGERNESS: Final = 100e-6
_PATIENCE: Final = 0.005
_QUIET: Final = 20
_WORKERS: Final = 32
_RETRY: Final = frozenset({errno.EINTR, errno.ENOENT})
_EXPECTED: Final = frozenset({errno.ENOENT, errno.ENODEV, errno.ENOTDIR})
_SILENT: Final = frozenset({FuseOpcode.FORGET, FuseOpcode.BATCH_FORGET, FuseOpcode.INIT, FuseOpcode.INTERRUPT})

_log = logging.getLogger(__name__)


class FuseRequest:
    """A process's request: ``node`` is the inode, ``body`` the operation's own structure.

    ``process`` is its thread's number in the PID namespace that the file system was mounted from.
    """

    __slots__ = ("body", "node", "opcode", "process", "unique")

    def __init__(self, data: bytes) -> None:
        self.opcode, self.unique, self.node, self.process = wire.REQUEST.unpack_from(data)
        self.body = data[wire.REQUEST.size :]


class Handler(Protocol):
    """Answers the requests of a file system."""

    @property
    def operations(self) -> Mapping[int, Callable[[FuseRequest], bytes | None]]:
        """The operations by opcode: each returns bytes, or None for no reply (FORGET), or raises OSError."""

    def interrupt(self, request: FuseRequest) -> None:
        """Called when a signal reached the process that waits for ``request``."""

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
        self._blocked: dict[int, FuseRequest] = {}
        self._aborted = False
        self._users = 0
        self._activity = threading.Event()
        self._notices: queue.SimpleQueue[bytes | threading.Event | None] = queue.SimpleQueue()
        self._queued = 0
        self._pool = ThreadPoolExecutor(_WORKERS, thread_name_prefix=f"{name} worker")
        self._sent = 0
        self._eagerness = _EAGERNESS if eager and len(os.sched_getaffinity(0)) > 1 else 0.0
        self._arrival = select.poll()

    def start(self) -> None:
        """Begin to serve, in threads of its own; the device now belongs to the channel."""
        if self._eagerness:
            os.set_blocking(self.device, False)
            self._arrival.register(self.device, select.POLLIN)
        self._spawn(self._send_notices, "notices")
        self._spawn(self._watch, "watcher")
        self._spawn(self._lead, "leader")

    def abort(self) -> None:
        """Answer every blocked request, and whatever comes later, with ENOTCONN.

        For the end of a session: a process that waits in a blocked write cannot even be killed.
        """
        self._aborted = True
        with self._lock:
            blocked = list(self._blocked)
        for unique in blocked:
            self._write(_failure(unique, errno.ENOTCONN))

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
        with self._lock:
            self._blocked[request.unique] = request
        self._pool.submit(self._work, request, work)

    def _work(self, request: FuseRequest, work: Callable[[FuseRequest], bytes]) -> None:
        reply = self._perform(request, work)
        with self._lock:
            self._blocked.pop(request.unique, None)
        if reply is not None:
            self._write(reply)

    def _spawn(self, target: Callable[[], None], role: str) -> None:
        with self._lock:
            self._users += 1

        def run() -> None:
            target()
            with self._lock:
                self._users -= 1
                last = self._users == 0
            if last:
                os.close(self.device)

        threading.Thread(target=run, name=f"{self.name} {role}", daemon=True).start()

    def _lead(self) -> None:
        shift = self._shift = _Shift()
        while self._shift is shift:
            data = self._read()
            if data is None:
                self.ended.set()
                self._activity.set()
                self._notices.put(None)
                self.handler.ended()
                self._pool.shutdown(wait=False, cancel_futures=True)
                return
            request = FuseRequest(data)
            shift.request = request
            if not self._activity.is_set():
                self._activity.set()
            reply = self._answer(request)
            shift.request = None
            if reply is not None:
                self._write(reply)
        with self._lock:
            self._blocked.pop(request.unique, None)

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
            self._blocked[stuck.unique] = stuck
            self._shift = _Shift()
            return True

    def _read(self) -> bytes | None:
        """The next request; None at the end of the connection."""
        until = time.perf_counter() + self._eagerness if self._eagerness else 0.0
        while True:
            try:
                return os.read(self.device, _BUFFER)
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

    def _answer(self, request: FuseRequest) -> bytes | None:
        operation = self._operations.get(request.opcode, _unknown)
        if self._aborted and request.opcode not in _SILENT:
            return _failure(request.unique, errno.ENOTCONN)
        return self._perform(request, operation)

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
        # Only a request that a former leader is stuck in can be in flight while the leader reads this.
        (unique,) = wire.INTERRUPT.unpack_from(request.body)
        with self._lock:
            blocked = self._blocked.get(unique)
        if blocked is not None:
            self.handler.interrupt(blocked)

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
