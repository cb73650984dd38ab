"""A Linux on machine M, and what a program and its cards need to be watched and misled."""

from __future__ import annotations

import errno
import math
from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple

from apmatrix.arch import Apqn, CardType, Matrix
from apmatrix.cards import Filter, Handling, Inline, ManualClock, QueueFunction
from apmatrix.linux import LinuxSystem, Refused
from apmatrix.linux.zcrypt import ByteOrder, CcaRequest, Ep11Request
from apmatrix.machine import ActivationProfile, Cpc
from apmatrix.rules.refusals import Failed
from support import cca, ep11
from support.bench import CARDS_OF_M, FACILITIES_OF_M, FUNCTIONS_OF_M, MATRIX_OF_M

if TYPE_CHECKING:
    import random
    import threading
    from collections.abc import Callable, Iterable

    from apmatrix.cards import Answer, Queue

MOST_STEPS = 100_000
GAP = 0x5A5A
"""What programs leave in the gaps of their structures."""


class PatientClock(ManualClock):
    """Whoever waits moves the time on to the next timer, so nothing has to wait for real."""

    def wait_for(
        self, condition: threading.Condition, predicate: Callable[[], bool], timeout: float | None = None
    ) -> bool:
        del condition
        end = math.inf if timeout is None else self.now() + timeout
        for _ in range(MOST_STEPS):
            if predicate():
                return True
            alarm = self._take_due(end)
            assert alarm is not None or timeout is not None, "nothing will ever happen"
            if alarm is None:
                return False
            alarm.run()
        raise AssertionError("what is waited for does not come")


class Sent(NamedTuple):
    """A request that a queue has accepted."""

    apqn: str
    message: bytes
    special: bool
    message_id: int

    @property
    def cprbx_domain(self) -> int:
        return int.from_bytes(self.message[88 + 170 : 88 + 172], "big")

    @property
    def ep11_target(self) -> int:
        return int.from_bytes(self.message[88 + 12 : 88 + 16], "big")


class Wire(Filter):
    """Between queues and cards: notes what is sent, and answers in the cards' place while it has replies."""

    def __init__(self) -> None:
        self.sent: list[Sent] = []
        self.functions: list[tuple[QueueFunction, Apqn]] = []
        self.replies: deque[bytes | Handling | None] = deque()
        self.always: bytes | None = None

    def function(self, queue: Queue, function: QueueFunction) -> Answer | None:
        self.functions.append((function, queue.apqn))
        return None

    def request(self, queue: Queue, handling: Handling) -> Handling:
        request = handling.request
        self.sent.append(Sent(str(queue.apqn), request.message, request.special, request.message_id))
        reply = self.replies.popleft() if self.replies else self.always
        if isinstance(reply, Handling):
            return Handling(request, reply.reply, reply.delay, reply.loss)
        return handling if reply is None else Handling(request, reply)

    def answer(self, *replies: bytes | Handling | None) -> None:
        """Answer the next requests with these; None lets the card answer."""
        self.replies.extend(replies)

    @property
    def queues(self) -> list[str]:
        """Where the requests went."""
        return [sent.apqn for sent in self.sent]

    def count(self, function: QueueFunction) -> int:
        return sum(seen is function for seen, _ in self.functions)


class Crypto:
    """Machine M with its Linux; ``wire`` is between all queues and their cards."""

    def __init__(
        self,
        cards: dict[int, str] | None = None,
        matrix: Matrix = MATRIX_OF_M,
        facilities: Iterable[int] = FACILITIES_OF_M,
        features: Iterable[str] = ("APSC", "APXA"),
        max_adapter: int = 0x3F,
        channel_reports: bool = False,
        **linux: Any,
    ) -> None:
        self.clock = PatientClock()
        self.machine = Cpc(
            "M",
            clock=self.clock,
            facilities=facilities,
            features=features,
            max_adapter=max_adapter,
            max_domain=0x54,
            channel_reports=channel_reports,
        )
        self.wire = Wire()
        for number, kind in (CARDS_OF_M if cards is None else cards).items():
            functions = FUNCTIONS_OF_M[number] if cards is None else None
            adapter = self.machine.add_adapter(number, CardType.parse(kind), functions=functions)
            adapter.workers = Inline()
            adapter.filters.add(self.wire)
        self.machine.add_lpar(ActivationProfile("lpar", matrix))
        self.system = LinuxSystem(self.machine, self.machine.lpars["lpar"].level, **linux)
        self.zcrypt = self.system.zcrypt
        self.sysfs = self.system.sysfs
        self._forget_boot()

    def _forget_boot(self) -> None:
        """Let nothing be left of the random numbers that the booting kernel asked for."""
        self.clock.advance(1)
        if self.system.hwrng.prefetched:
            self.system.hwrng.read(self.system.hwrng.prefetched)
        for card in self.system.ap.cards.values():
            self.write(f"bus/ap/devices/{card.name}/request_count", "0")
        for queue in self.system.ap.queues.values():
            queue.buffer = b""
        self.wire.sent.clear()
        self.wire.functions.clear()

    def close(self) -> None:
        self.system.shut_down()
        self.machine.close()

    def read(self, path: str) -> str:
        return self.sysfs.read(path).decode()

    def write(self, path: str, text: str) -> str:
        """``ok``, or the errno's name."""
        try:
            self.sysfs.write(path, text.encode())
        except OSError as error:
            return errno.errorcode[error.errno or 0]
        return "ok"

    def online(self, device: str) -> str:
        return self.read(f"bus/ap/devices/{device}/online").rstrip()

    def only(self, *devices: str) -> None:
        """Set everything else offline."""
        for device in self.sysfs.list("bus/ap/devices"):
            if "." in device and device not in devices:
                assert self.write(f"bus/ap/devices/{device}/online", "0") == "ok"

    def node(self, name: str = "extra", **masks: str) -> str:
        """Make an extra node; masks that are not named allow everything but administration."""
        assert self.write("class/zcrypt/create", name) == "ok"
        everything = "0x" + "f" * 64
        for mask in ("ioctlmask", "apmask", "aqmask"):
            self.write(f"class/zcrypt/{name}/{mask}", masks.get(mask, everything))
        if "admask" in masks:
            assert self.write(f"class/zcrypt/{name}/admask", masks["admask"]) == "ok"
        return name

    def permissions(self, name: str) -> Any:
        return self.system.zcrypt_nodes.nodes[name].permissions


def operands(generator: random.Random, length: int = 32) -> tuple[list[bytes], bytes]:
    """Value, exponent and modulus of an RSA request, and the answer, of ``length`` bytes each."""
    modulus = generator.getrandbits(8 * length) | 1 << (8 * length - 1) | 1
    value, exponent = generator.randrange(modulus), generator.choice((3, 17, 65537))
    parts = [number.to_bytes(length, "big") for number in (value, exponent, modulus)]
    return parts, pow(value, exponent, modulus).to_bytes(length, "big")


def outcome(action: Callable[[], Any]) -> str:
    """``ok``, or the name of the errno of what was refused."""
    try:
        action()
    except Refused as refused:
        return errno.errorcode[refused.errno]
    return "ok"


def cprb(
    domain: int = 0xFFFF,
    function_id: bytes = b"T2",
    block: bytes = b"",
    card: int = 0xFFFF_FFFF,
    data_room: int = 0,
    control_room: int = 8192,
) -> CcaRequest:
    """A CPRB; without a parameter block it asks for random numbers."""
    parameters = block or cca.parameters(b"RL", [b"RANDOM"])
    message = cca.request(parameters, domain, function_id, data_room=data_room)
    return CcaRequest(message[88:], card=card, control_room=control_room, data_room=data_room)


def ep11_cprb(
    targets: tuple[tuple[int, int], ...] = (), flags: int = 0, target: int = 6, function: int = 38
) -> Ep11Request:
    """An EP11 CPRB that asks the card for information."""
    message = ep11.request(function, (ep11.word(1), ep11.word(0)), target, flags=flags)
    return Ep11Request(message[88:], targets)


class Storage:
    """A program's storage: pieces at addresses of their own, with nothing between."""

    def __init__(self, order: ByteOrder = ByteOrder.LITTLE) -> None:
        self.order = order
        self._pieces: dict[int, bytearray] = {}
        self._sealed: set[int] = set()
        self._next = 0x7F00_0000_1000

    def put(self, content: bytes | int, *, sealed: bool = False) -> int:
        """Bytes, or that many zeros; the address. ``sealed`` can only be read."""
        address, self._next = self._next, self._next + 0x10_0000
        self._pieces[address] = bytearray(content)
        if sealed:
            self._sealed.add(address)
        return address

    def words(self, *fields: tuple[int, int]) -> int:
        """A structure of (number, size) in the program's order, without gaps."""
        name: Any = self.order.value
        return self.put(b"".join(number.to_bytes(size, name) for number, size in fields))

    def _find(self, address: int, length: int) -> tuple[int, int]:
        for start, piece in self._pieces.items():
            if start <= address and address + length <= start + len(piece):
                return start, address - start
        raise Failed(f"nothing at {address:#x}", number=errno.EFAULT)

    def read(self, address: int, length: int) -> bytes:
        start, offset = self._find(address, length)
        return bytes(self._pieces[start][offset : offset + length])

    def write(self, address: int, data: bytes) -> None:
        start, offset = self._find(address, len(data))
        if start in self._sealed:
            raise Failed(f"{address:#x} cannot be written", number=errno.EFAULT)
        self._pieces[start][offset : offset + len(data)] = data

    def modexpo(self, value: bytes, exponent: bytes, modulus: bytes, /, **changes: int) -> int:
        """A struct ica_rsa_modexpo with its operands; ``changes`` replace lengths or addresses."""
        fields = {
            "input": self.put(value),
            "input_length": len(value),
            "output": self.put(len(value)),
            "output_length": len(value),
            "exponent": self.put(exponent),
            "modulus": self.put(modulus),
        } | changes
        return self.words(*_padded(fields))

    def crt(self, value: bytes, parts: dict[str, bytes], /, **changes: int) -> int:
        """A struct ica_rsa_modexpo_crt; ``parts`` are dp, dq, p, q, u in the lengths that the interface wants."""
        fields = {
            "input": self.put(value),
            "input_length": len(value),
            "output": self.put(len(value)),
            "output_length": len(value),
            **{name: self.put(parts[name]) for name in ("dp", "dq", "p", "q", "u")},
        } | changes
        return self.words(*_padded(fields))

    def xcrb(self, request: bytes, data: bytes = b"", room: int = 4096, data_room: int = 0, /, **changes: int) -> int:
        """A struct ica_xcRB; 94 bytes."""
        fields = {
            "agent": (0x4341, 2),
            "card": (0xFFFF_FFFF, 4),
            "request_id": (0, 2),
            "request_length": (len(request), 4),
            "gap1": (GAP, 8),
            "request": (self.put(request), 8),
            "data_length": (len(data), 4),
            "gap2": (GAP, 8),
            "data": (self.put(data), 8),
            "reply_length": (room, 4),
            "gap3": (GAP, 8),
            "reply": (self.put(room), 8),
            "reply_data_length": (data_room, 4),
            "gap4": (GAP, 8),
            "reply_data": (self.put(data_room), 8),
            "priority": (0, 2),
            "status": (0x5A5A5A5A, 4),
        }
        return self.words(*((changes.get(name, number), size) for name, (number, size) in fields.items()))

    def urb(
        self, request: bytes, targets: tuple[tuple[int, int], ...] = (), room: int = 4096, /, **changes: int
    ) -> int:
        """A struct ep11_urb; 58 bytes."""
        fields = {
            "targets_count": (len(targets), 2),
            "targets": (self.words(*((number, 2) for pair in targets for number in pair)), 8),
            "weight": (0, 8),
            "request_number": (0, 8),
            "request_length": (len(request), 8),
            "request": (self.put(request), 8),
            "reply_length": (room, 8),
            "reply": (self.put(room), 8),
        }
        return self.words(*((changes.get(name, number), size) for name, (number, size) in fields.items()))

    def number(self, address: int, size: int = 4) -> int:
        name: Any = self.order.value
        return int.from_bytes(self.read(address, size), name)

    def content(self, address: int) -> bytes:
        return bytes(self._pieces[address])


def _padded(fields: dict[str, int]) -> list[tuple[int, int]]:
    """Lengths take four bytes and are followed by a gap, addresses take eight."""
    words = []
    for name, number in fields.items():
        words += [(number, 4), (GAP, 4)] if name.endswith("length") else [(number, 8)]
    return words
