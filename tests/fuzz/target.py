"""What every fuzzer asserts about one message: see test_cards.py."""

from apmatrix.arch import Mask
from apmatrix.cards import Request
from support.replies import assert_well_formed

DOMAINS = (6, 7, 0x40)
CONTROL = 0x40


class Target:
    """An adapter with master keys that only the control domain may lose."""

    def __init__(self, adapter):
        self.adapter = adapter
        self.keys = self.foreign_keys()

    def send(self, message, domains, first_id, special, rc8a):
        """Put the message into the queues of ``domains`` and look at all of them."""
        expected = {}
        for message_id, domain in enumerate(domains, first_id):
            sent = Request(message_id, message, special, Mask.of(CONTROL), rc8a)
            if self.adapter.queue(domain).enqueue(sent).ok:
                expected[domain] = message_id
        assert not self.adapter.failures, self.adapter.failures
        for domain in DOMAINS:
            queue = self.adapter.queue(domain)
            if domain in expected:
                found = queue.dequeue(self.adapter.max_message_size)
                assert found.status is not None
                assert found.status.ok
                assert found.message_id == expected[domain]
                assert_well_formed(found.data)
            assert queue.test().empty
        assert self.foreign_keys() == self.keys, "a domain was changed that is no control domain"

    def foreign_keys(self):
        domains = self.adapter.context.keyring._domains
        return {domain: sets for domain, sets in domains.items() if domain != CONTROL}


def send_input(targets, data):
    """Send the message of one libFuzzer input as its first byte says: card, queues, S bit, RC8A."""
    options = data[0] if data else 0
    domains = DOMAINS[options >> 2 & 1 :][:2]
    target = targets[options % 4 % len(targets)]
    target.send(bytes(data[1:]), domains, 1, bool(options & 8), bool(options & 16))
