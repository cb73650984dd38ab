"""A client of the GDB remote protocol: the part of it that controls a stopped or running machine.

One thread owns a client. Every wait has a bound; a peer that goes away, keeps silent or talks nonsense ends
in a :class:`GdbError` that says so.
"""

from __future__ import annotations

import re
import socket
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Self

from apmatrix.faces.gdb.errors import Disconnected, Garbled, NoAnswer, StubError, Unsupported, WrongState
from apmatrix.faces.gdb.wire import MAX_PACKET, Acknowledgement, Decoder, Packet, encode

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TRIES = 4
"""Times that a damaged packet is sent, or asked for, again."""

CHUNK = 1024
"""Bytes of memory per packet: fits the smallest packet size that stubs announce, in hexadecimal."""

MOST_THREADS = 4096
"""Threads of a target that are asked for; no machine has as many processors."""

_DEEPEST = 8  # documents of a description that include each other
_INTERRUPT = b"\x03"

# Stubs leave out the namespace that would make their descriptions XML.
_DESCRIPTION = re.compile(r"""<(reg|xi:include)\s[^>]*?\b(?:name|href)=["']([^"']+)""")


class TargetState(Enum):
    """What the target is doing."""

    STOPPED = "stopped"
    RUNNING = "running"
    ENDED = "ended"


class Break(Enum):
    """Kinds of breakpoints, by their protocol number."""

    SOFTWARE = 0
    HARDWARE = 1
    WRITE = 2


@dataclass(frozen=True, slots=True)
class Stop:
    """Why the target stopped: a signal and the thread, or ``ended`` and its exit code in ``signal``.

    ``watched`` is the address of the watchpoint that was hit, if any.
    """

    signal: int
    thread: str = ""
    watched: int | None = None
    ended: bool = False

    @classmethod
    def parse(cls, payload: bytes) -> Self:
        """Read a stop reply; Garbled if it is not one."""
        found = re.fullmatch(rb"([STWX])([0-9a-f]{2})(.*)", payload, re.DOTALL)
        if not found:
            raise Garbled(f"the debugger stub gave {payload[:40]!r} instead of a reason why it stopped")
        pairs = (item.partition(b":") for item in found[3].split(b";"))
        try:
            notes = {name.decode("ascii"): text.decode("ascii") for name, _, text in pairs}
            watched = next((notes[name] for name in ("watch", "awatch", "rwatch") if name in notes), None)
            address = int(watched, 16) if watched else None
        except ValueError:
            raise Garbled(f"the debugger stub gave {payload[:40]!r} as the reason why it stopped") from None
        return cls(int(found[2], 16), notes.get("thread", ""), address, ended=found[1] in b"WX")


class GdbClient:
    """A connection to a debugger stub, from the moment that the target is known to be stopped.

    ``timeout`` bounds, in seconds, the wait for each answer; :meth:`wait` has its own.
    """

    def __init__(self, connection: socket.socket, timeout: float = 10.0) -> None:
        self.state = TargetState.STOPPED
        self._connection = connection
        self._timeout = timeout
        self._decoder = Decoder()
        self._arrived: deque[Packet | Acknowledgement] = deque()
        self._acknowledging = True
        self._registers: dict[str, int] | None = None
        self._thread = ""
        self._overdue: float | None = None

    @classmethod
    def connect(cls, path: Path, timeout: float = 10.0) -> Self:
        """Connect to the unix socket of a stub and agree on the protocol; raises GdbError."""
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(timeout)
        try:
            connection.connect(str(path))
        except OSError as error:
            connection.close()
            raise Disconnected(f"no debugger stub is listening at {path}: {error.strerror}") from error
        client = cls(connection, timeout)
        try:
            client.start()
        except BaseException:
            client.close()
            raise
        return client

    def start(self) -> None:
        """Announce ourselves and, if the peer supports it, do without acknowledgements."""
        offered = self.exchange(b"qSupported:xmlRegisters=s390;vContSupported+")
        if b"QStartNoAckMode+" in offered.split(b";") and self.exchange(b"QStartNoAckMode") == b"OK":
            self._acknowledging = False

    def close(self) -> None:
        """Close the connection; the target goes on as its stub decides."""
        self.state = TargetState.ENDED
        self._connection.close()

    def fileno(self) -> int:
        """The connection's file descriptor, to wait for it together with others."""
        return self._connection.fileno()

    # registers and memory of the stopped target

    @property
    def registers(self) -> dict[str, int]:
        """Numbers of the target's registers by name, from its description."""
        if self._registers is None:
            names = self._described("target.xml", set())
            self._registers = {name: number for number, name in enumerate(names)}
        return self._registers

    def read_register(self, name: str) -> int:
        """A register of the selected thread; Unsupported if the target has none of that name."""
        return int(self._hex(b"p%x" % self._register(name)), 16)

    def write_register(self, name: str, value: int, octets: int = 8) -> None:
        """Set a register of ``octets`` bytes of the selected thread."""
        self._ok(b"P%x=%b" % (self._register(name), value.to_bytes(octets, "big").hex().encode()))

    def read_memory(self, address: int, length: int) -> bytes:
        """Memory at a virtual address; StubError where nothing is mapped."""
        parts = []
        for start in range(address, address + length, CHUNK):
            size = min(CHUNK, address + length - start)
            part = bytes.fromhex(self._hex(b"m%x,%x" % (start, size)))
            if len(part) != size:
                raise StubError(f"reading {size} bytes at {start:#x}", 0)
            parts.append(part)
        return b"".join(parts)

    def write_memory(self, address: int, data: bytes) -> None:
        """Store at a virtual address; StubError where nothing is mapped."""
        for offset in range(0, len(data), CHUNK):
            part = data[offset : offset + CHUNK]
            self._ok(b"M%x,%x:%b" % (address + offset, len(part), part.hex().encode()))

    def select(self, thread: str) -> None:
        """Make the register commands refer to this thread."""
        if thread and thread != self._thread:
            self._ok(b"Hg%b" % thread.encode())
            self._thread = thread

    def threads(self) -> list[str]:
        """All threads (processors) of the target."""
        names: list[str] = []
        answer = self._answer(b"qfThreadInfo")
        while answer.startswith(b"m"):
            names += answer[1:].decode(errors="replace").split(",")
            if len(names) > MOST_THREADS:
                raise Garbled(f"the debugger stub has more than {MOST_THREADS} threads")
            answer = self._answer(b"qsThreadInfo")
        return names

    def insert(self, kind: Break, address: int, length: int = 2) -> None:
        """Set a breakpoint, or a watchpoint over ``length`` bytes."""
        self._ok(b"Z%d,%x,%x" % (kind.value, address, length))

    def remove(self, kind: Break, address: int, length: int = 2) -> None:
        """Remove a breakpoint or watchpoint."""
        self._ok(b"z%d,%x,%x" % (kind.value, address, length))

    # running

    def resume(self) -> None:
        """Let all threads run."""
        self._go(b"vCont;c")

    def step(self, thread: str) -> None:
        """Let one thread execute one instruction while the others stay stopped."""
        self._go(b"vCont;s:%b" % thread.encode())

    def interrupt(self) -> None:
        """Ask a running target to stop; :meth:`wait` gives the stop."""
        self._require(TargetState.RUNNING, "interrupt")
        self._send(_INTERRUPT)

    def wait(self, timeout: float | None) -> Stop | None:
        """Wait until the running target stops; None if it did not within ``timeout`` seconds."""
        self._require(TargetState.RUNNING, "wait")
        deadline = None if timeout is None else time.monotonic() + timeout
        payload = b"O"
        try:
            while payload.startswith(b"O") and payload != b"OK":  # text for the debugger's console
                payload = self._frame(deadline)
        except NoAnswer:
            return None
        stop = Stop.parse(payload)
        self.state = TargetState.ENDED if stop.ended else TargetState.STOPPED
        self._thread = ""
        return stop

    def detach(self) -> None:
        """Leave the target; it goes on running without us."""
        self._ok(b"D")
        self.state = TargetState.ENDED

    # the protocol

    def exchange(self, payload: bytes) -> bytes:
        """Send a command to the stopped target and return the answer as it is."""
        self._require(TargetState.STOPPED, payload.decode(errors="replace"))
        deadline = time.monotonic() + self._timeout
        try:
            self._deliver(payload, deadline)
            return self._frame(deadline)
        except NoAnswer:
            self.state = TargetState.ENDED  # a late answer would be taken for the next command's
            raise

    def _answer(self, command: bytes) -> bytes:
        name = re.split(rb"[:;,=]", command, maxsplit=1)[0].decode(errors="replace")
        answer = self.exchange(command)
        if not answer:
            raise Unsupported(f"the debugger stub does not know {name}")
        if found := re.fullmatch(rb"E([0-9a-fA-F]{2})", answer):
            raise StubError(name, int(found[1], 16))
        return answer

    def _ok(self, command: bytes) -> None:
        if (answer := self._answer(command)) != b"OK":
            raise Garbled(f"the debugger stub answered {answer[:40]!r} instead of OK")

    def _hex(self, command: bytes) -> str:
        answer = self._answer(command).decode(errors="replace")
        if not re.fullmatch(r"([0-9a-fA-F]{2})+", answer):
            raise Garbled(f"the debugger stub answered {answer[:40]!r} instead of hexadecimal digits")
        return answer

    def _go(self, command: bytes) -> None:
        self._require(TargetState.STOPPED, "resume")
        self._deliver(command, time.monotonic() + self._timeout)
        self.state = TargetState.RUNNING

    def _require(self, state: TargetState, what: str) -> None:
        if self.state is not state:
            raise WrongState(f"{what!r} needs a {state.value} target, this one is {self.state.value}")

    def _register(self, name: str) -> int:
        if name not in self.registers:
            raise Unsupported(f"the target has no register {name}")
        return self.registers[name]

    def _described(self, document: str, above: set[str]) -> Iterator[str]:
        """Names of the registers in an XML description, in the order that numbers them.

        ``above`` are the documents that include it.
        """
        if document in above or len(above) == _DEEPEST:
            raise Garbled(f"the debugger stub's description {document[:40]!r} includes itself, or too many others")
        text = b""
        answer = b"m"
        while answer.startswith(b"m"):
            answer = self._answer(b"qXfer:features:read:%b:%x,%x" % (document.encode(), len(text), CHUNK))
            text += answer[1:]
            if len(text) > MAX_PACKET or answer == b"m":
                raise Garbled(f"the debugger stub's description {document[:40]!r} has no end")
        for tag, name in _DESCRIPTION.findall(text.decode(errors="replace")):
            if tag == "reg":
                yield name
            else:
                yield from self._described(name, above | {document})

    def _deliver(self, payload: bytes, deadline: float) -> None:
        """Send a packet until the peer has it; packets that arrive before are dropped."""
        for _ in range(TRIES):
            self._send(encode(payload))
            if not self._acknowledging:
                return
            while isinstance(word := self._receive(deadline), Packet):
                continue
            if word is Acknowledgement.RECEIVED:
                return
        raise Garbled(f"the debugger stub did not get {payload[:40]!r} undamaged in {TRIES} tries")

    def _frame(self, deadline: float | None) -> bytes:
        """The next intact packet; a damaged one is asked for again."""
        for _ in range(TRIES):
            while not isinstance(packet := self._receive(deadline), Packet):
                continue
            if packet.intact:
                if self._acknowledging:
                    with suppress(Disconnected):  # the last packet of a peer that ends counts as well
                        self._send(Acknowledgement.RECEIVED.value)
                return packet.payload
            self._send(Acknowledgement.AGAIN.value)
        raise Garbled(f"the debugger stub sent {TRIES} damaged packets in a row")

    def _send(self, data: bytes) -> None:
        try:
            self._connection.settimeout(self._timeout)
            self._connection.sendall(data)
        except TimeoutError as error:
            raise NoAnswer("the debugger stub takes no more commands") from error
        except OSError as error:
            raise self._gone(error.strerror) from error

    def _receive(self, deadline: float | None) -> Packet | Acknowledgement:
        while not self._arrived:
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                if self._overdue == deadline:  # a peer may send for ever
                    raise NoAnswer(f"the debugger stub sent no answer within {self._timeout:g} s")
                self._overdue = deadline
                left = 1e-6  # what has already arrived still counts
            try:
                self._connection.settimeout(left)
                data = self._connection.recv(65536)
            except TimeoutError as error:
                raise NoAnswer(f"the debugger stub did not answer within {self._timeout:g} s") from error
            except OSError as error:
                raise self._gone(error.strerror) from error
            if not data:
                raise self._gone("connection closed")
            try:
                self._arrived.extend(self._decoder.feed(data))
            except ValueError as error:
                raise Garbled(f"what is listening there is not a debugger stub: {error}") from error
        return self._arrived.popleft()

    def _gone(self, reason: str | None) -> Disconnected:
        self.state = TargetState.ENDED
        return Disconnected(f"the debugger stub is gone: {reason or 'no reason given'}")
