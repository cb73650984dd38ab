"""Adapters for tests: with workers that a test steps by hand, or that process at once."""

from apmatrix.arch import CardType, Mask
from apmatrix.cards import Adapter, Firmware, Indication, Inline, ManualClock, Request


class Stepper:
    """Workers that process nothing until told to; which request comes next is the test's choice."""

    def __init__(self):
        self.waiting = []

    def submit(self, action, /, *arguments):
        self.waiting.append((action, arguments))

    def finish(self, index=0):
        """Let the card finish one request, the oldest unless told otherwise."""
        action, arguments = self.waiting.pop(index)
        action(*arguments)

    def run(self):
        """Let it finish all."""
        while self.waiting:
            self.finish()


class Echo(Firmware):
    """A card that returns each message behind one byte that names the domain."""

    def process(self, domain, request):
        return bytes((domain,)) + request.message


class Bell(Indication):
    """Counts its rings; equal to another of the same name."""

    def __init__(self, name="bell"):
        self.name = name
        self.rings = 0

    def post(self):
        self.rings += 1

    def __eq__(self, other):
        return isinstance(other, Bell) and other.name == self.name

    def __hash__(self):
        return hash(self.name)


def make_adapter(card="CEX8C", number=5, **options):
    """An adapter on a manual clock that processes requests inside NQAP, unless told otherwise."""
    options.setdefault("clock", ManualClock())
    options.setdefault("workers", Inline())
    return Adapter(number, CardType.parse(card), **options)


def exchange(adapter, message, domain=6, message_id=1, special=False, control_domains=(), rc8a=False):
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
