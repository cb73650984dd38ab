"""What programs can ask zcrypt about the devices: status, queue depths and request counts (hardware.md 5.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from apmatrix.arch import Mode
from apmatrix.linux.zcrypt.structures import DeviceStatus, OldDeviceStatus

if TYPE_CHECKING:
    from collections.abc import Iterator

    from apmatrix.linux.ap import ApBus, ApCard, ApQueue
    from apmatrix.linux.zcrypt.byteorder import ByteOrder

CARDS: Final = 256
OLD_CARDS: Final = 64
"""The number of adapters that the older forms know."""

DOMAINS: Final = 256
_WORD: Final = 4
_LARGEST: Final = 0xFFFF_FFFF
_DISABLED: Final = 0x0D
_COPROCESSOR: Final = 0x07  # that of a CEX3C, which CCA's library expects
_OLD_TYPES: Final = {10: 0x0A, 11: 0x0B}
_NEWEST: Final = 0x0C  # CEX6, and all since


def _user_space_type(card: ApCard) -> int:
    """The card's type by the numbering of the status mask."""
    if card.mode is Mode.CCA:
        return _COPROCESSOR
    return _OLD_TYPES.get(card.hardware_type, _NEWEST)


def _all_queues(bus: ApBus, cards: int) -> Iterator[ApQueue]:
    for number, card in bus.cards.items():
        if number < cards:
            yield from card.host_queues()


def _default_queues(bus: ApBus, cards: int) -> Iterator[ApQueue]:
    """The queues of the default domain, the only ones that the masks and counts are about."""
    return (queue for queue in _all_queues(bus, cards) if queue.apqn.domain == bus.default_domain)


def device_status(bus: ApBus, order: ByteOrder, *, old: bool = False) -> bytes:
    """A word for each APQN, by adapter and domain; zero where the host's drivers have no queue."""
    cards = OLD_CARDS if old else CARDS
    kind = OldDeviceStatus if old else DeviceStatus
    words = bytearray(cards * DOMAINS * _WORD)
    for queue in _all_queues(bus, cards):
        adapter, domain = queue.apqn
        word = kind(
            hardware_type=queue.card.hardware_type,
            queue=queue.apqn.code,
            online=queue.online,
            functions=queue.card.info.functions.leading,
        )
        start = (adapter * DOMAINS + domain) * _WORD
        words[start : start + _WORD] = order.dump(word)
    return bytes(words)


def status_mask(bus: ApBus, _order: ByteOrder, *, cards: int = CARDS) -> bytes:
    """A byte for each adapter: its type, 0d if it is offline, 0 if there is none."""
    mask = bytearray(cards)
    for queue in _default_queues(bus, cards):
        mask[queue.card.number] = _user_space_type(queue.card) if queue.card.online else _DISABLED
    return bytes(mask)


def depth_mask(bus: ApBus, _order: ByteOrder, *, cards: int = CARDS) -> bytes:
    """A byte for each adapter: how many requests its queue of the default domain has."""
    mask = bytearray(cards)
    for queue in _default_queues(bus, cards):
        mask[queue.card.number] = (len(queue.pending) + len(queue.requests)) & 0xFF
    return bytes(mask)


def request_counts(bus: ApBus, order: ByteOrder, *, cards: int = CARDS) -> bytes:
    """A word for each adapter: how many requests its queue of the default domain had."""
    counts = [0] * cards
    for queue in _default_queues(bus, cards):
        counts[queue.card.number] = min(queue.total, _LARGEST)
    return b"".join(order.number(count, _WORD) for count in counts)


def waiting_count(bus: ApBus, order: ByteOrder) -> bytes:
    """The number of requests of the default domain that wait for a card."""
    return order.number(sum(len(queue.requests) for queue in _default_queues(bus, CARDS)), _WORD)


def pending_count(bus: ApBus, order: ByteOrder) -> bytes:
    """The number of requests of the default domain that cards have."""
    return order.number(sum(len(queue.pending) for queue in _default_queues(bus, CARDS)), _WORD)


def default_domain(bus: ApBus, order: ByteOrder) -> bytes:
    """The default domain, -1 if there is none."""
    return order.number(bus.default_domain & _LARGEST, _WORD)
