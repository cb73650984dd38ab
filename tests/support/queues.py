"""Adapters for tests: with workers that a test steps by hand, or that process at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from apmatrix.arch import CardType, Mask
from apmatrix.cards import Adapter, Firmware, Indication, Inline, ManualClock, Request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from apmatrix.cards.workers import Turn


class Stepper:
    """Workers that process nothing until told to; which request comes next is the test's choice."""

    def __init__(self) -> None:
        self.waiting: list[tuple[Callable[..., object], tuple[object, ...]]] = []

    def submit(self, _turn: Turn, action: Callable[..., object], /, *arguments: object) -> None:
        self.waiting.append((action, arguments))

    def finish(self, index: int = 0) -> None:
        """Let the card finish one request, the oldest unless told otherwise."""
        action, arguments = self.waiting.pop(index)
        action(*arguments)

    def run(self) -> None:
        """Let it finish all."""
        while self.waiting:
            self.finish()


class Echo(Firmware):
    """A card that returns each message behind one byte that names the domain."""

    def process(self, domain: int, request: Request) -> bytes:
        return bytes((domain,)) + request.message


class Bell(Indication):
    """Counts its rings; equal to another of the same name."""

    def __init__(self, name: str = "bell") -> None:
        self.name = name
        self.rings = 0

    def post(self) -> None:
        self.rings += 1

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Bell) and other.name == self.name

    def __hash__(self) -> int:
        return hash(self.name)


def make_adapter(card: str = "CEX8C", number: int = 5, **options: Any) -> Adapter:
    """An adapter on a manual clock that processes requests inside NQAP, unless told otherwise."""
    options.setdefault("clock", ManualClock())
    options.setdefault("workers", Inline())
    return Adapter(number, CardType.parse(card), **options)


def exchange(
    adapter: Adapter,
    message: bytes,
    domain: int = 6,
    message_id: int = 1,
    special: bool = False,
    control_domains: Iterable[int] = (),
    rc8a: bool = False,
) -> bytes:
    """Send ``message`` and take its reply; asserts that it was accepted and answered under its own id."""
    queue = adapter.queue(domain)
    status = queue.enqueue(Request(message_id, message, special, Mask.of(*control_domains), rc8a))
    assert status.ok, status
    assert queue.wait()
    delivery = queue.dequeue(adapter.max_message_size)
    assert delivery.status is not None
    assert delivery.status.ok
    assert delivery.message_id == message_id
    return delivery.data
