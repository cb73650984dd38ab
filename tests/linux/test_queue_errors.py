"""A queue in the error state, and what a scan makes of it, as a real 7.2 kernel has it (hardware.md 1.7)."""

import errno

import pytest

from apmatrix.arch import Apqn
from apmatrix.arch import ResponseCode as Code
from apmatrix.cards import Answer, QueueFunction
from apmatrix.cards.faults import Fault, Switchboard
from apmatrix.linux.ap import ApMessage
from support.host import Host

QUEUE = Apqn(5, 4)


@pytest.fixture
def host():
    made = Host()
    yield made
    made.close()


def send(host, apqn=QUEUE):
    message = ApMessage(b"request", lambda _: None)
    with host.system.kernel:
        host.system.ap.queues[apqn].send(message)
    return message


def outcome(message):
    """The errno or 0; None while it is in flight."""
    return message.rc


@pytest.mark.parametrize("function", [QueueFunction.NQAP, QueueFunction.DQAP])
def test_an_unexpected_response_leaves_the_request_in_the_queue_until_the_scan(host, function):
    host.answer(function, [Code.CHECKSTOPPED], "05.0004")
    message = send(host)
    host.clock.advance(1)
    assert outcome(message) is None
    assert host.system.ap.queues[QUEUE].last_error is Code.CHECKSTOPPED
    waiting = "requestq_count" if function is QueueFunction.NQAP else "pendingq_count"
    assert host.attribute("05.0004", waiting) == "1\n"
    host.scan()
    host.clock.advance(1)
    assert outcome(message) == -errno.EAGAIN
    assert host.system.ap.queues[QUEUE].usable


def test_new_requests_are_refused_until_then(host):
    host.answer(QueueFunction.NQAP, [Code.CHECKSTOPPED, Code.CHECKSTOPPED], "05.0004")
    assert send(host).rc is None
    assert send(host).rc == -errno.ENODEV


@pytest.mark.parametrize("function", [QueueFunction.NQAP, QueueFunction.DQAP])
def test_an_asynchronous_error_stops_the_queue_until_it_is_polled_for_another_reason(host, function):
    host.answer(function, [Answer(Code.CHECKSTOPPED, async_error=True)], "05.0004")
    message = send(host)
    host.clock.advance(1)
    assert outcome(message) is None
    assert host.system.ap.queues[QUEUE].usable
    host.scan()
    host.clock.advance(1)
    assert outcome(message) is None
    host.write("bus/ap/devices/05.0047/reset", "1")
    host.clock.advance(1)
    assert outcome(message) == 0


def test_BUS_10_a_written_poll_timeout_polls_at_once(host):
    """It arms the timer for a time since the boot, which has passed."""
    host.answer(QueueFunction.NQAP, [Answer(Code.CHECKSTOPPED, async_error=True)], "05.0004")
    message = send(host)
    assert host.write("bus/ap/poll_timeout", "60000000000") == "ok"
    host.clock.advance(0)
    assert outcome(message) == 0


def test_a_card_that_loses_every_request_does_not_keep_linux_for_ever(host):
    """A real kernel would not come back; the emulated one tries again after a while."""
    board = Switchboard()
    host.machine.adapters[5].filters.add(board)
    board.switch_on(Fault.parse("domain=4 lose=gone"))
    message = send(host)
    assert outcome(message) is None
    board.switch_off()
    host.clock.advance(1)
    assert outcome(message) == 0
