"""No request is lost: whatever happens to a queue, every waiting caller gets an answer (hardware.md 1.7, 1.8)."""

from __future__ import annotations

import errno

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apmatrix.arch import Apqn, CardType, Facility, Mask, Matrix, ResponseCode
from apmatrix.cards import AdapterState, ManualClock, QueueFunction, ScriptedAnswers
from apmatrix.linux import LinuxSystem
from apmatrix.linux.ap import ApMessage
from apmatrix.machine import ActivationProfile, Cpc
from support.bench import FACILITIES_OF_M, POLLED
from support.queues import Stepper

MATRIX = Matrix(Mask.of(2, 5), Mask.of(6), Mask.of(6))
APQNS = [Apqn(2, 6), Apqn(5, 6)]
GONE = (AdapterState.DECONFIGURED, AdapterState.CHECKSTOPPED)
RESET_IS_OVER = 0.1


class SteppedCards:
    """Two queues with cards that process a request only when they are told to."""

    def __init__(self, facilities=FACILITIES_OF_M):
        self.clock = ManualClock()
        self.machine = Cpc("M", clock=self.clock, facilities=facilities, max_adapter=63, max_domain=84)
        self.steps = Stepper()
        for number, kind in {2: "CEX7A", 5: "CEX8C"}.items():
            self.machine.add_adapter(number, CardType.parse(kind)).workers = self.steps
        self.level = self.machine.add_lpar(ActivationProfile("lpar", MATRIX)).level
        self.system = LinuxSystem(self.machine, self.level)
        self.messages = []
        self.clock.advance(RESET_IS_OVER)

    def close(self):
        self.system.shut_down()
        self.machine.close()

    def send(self, apqn):
        message = ApMessage(b"request", lambda _: None)
        self.messages.append(message)
        with self.system.kernel:
            self.system.ap.queues[apqn].send(message)
        return message

    def write(self, device, attribute, text):
        self.system.sysfs.write(f"bus/ap/devices/{device}/{attribute}", text.encode())

    def flush(self, apqn):
        """Take the queue's requests from it; its card still has them."""
        self.write(apqn, "online", "0")
        self.write(apqn, "online", "1")

    def settle(self):
        """Let the cards do all that they have, and what comes after it; far less time passes than a request has."""
        for _ in range(len(self.messages) + 2):
            self.clock.advance(RESET_IS_OVER)
            self.steps.run()

    def look(self, apqn=APQNS[-1]):
        """Have all queues looked at, because another one has a reply."""
        self.send(apqn)
        self.steps.finish(-1)


@pytest.fixture(params=[FACILITIES_OF_M, POLLED], ids=["interrupts", "polling"])
def stepped(request):
    made = SteppedCards(request.param)
    yield made
    made.close()


def test_a_reply_behind_one_that_nobody_awaits_any_more(stepped):
    """The card announces only the first of them, and did so before it mattered."""
    queue = APQNS[0]
    forgotten = stepped.send(queue)
    stepped.flush(queue)
    stepped.look()
    stepped.steps.finish()
    message = stepped.send(queue)
    stepped.settle()
    assert (forgotten.rc, message.rc) == (-errno.EAGAIN, 0)


def test_a_card_full_of_replies_that_nobody_awaits_any_more(stepped):
    queue = APQNS[0]
    depth = stepped.system.ap.queues[queue].card.depth
    for _ in range(depth):
        stepped.send(queue)
    stepped.flush(queue)
    stepped.look()
    for _ in range(depth):
        stepped.steps.finish()
    message = stepped.send(queue)
    stepped.settle()
    assert message.rc == 0


def test_interruptions_that_a_card_forgot_while_nothing_was_under_way(stepped):
    """A failure that no scan saw: without interruptions Linux has to look, and asks for them again."""
    queue = APQNS[0]
    for state in (AdapterState.CHECKSTOPPED, AdapterState.ONLINE):
        stepped.machine.set_adapter_state(queue.adapter, state)
    messages = [stepped.send(queue) for _ in range(2)]
    stepped.settle()
    assert [message.rc for message in messages] == [0, 0]
    aqic = Facility.AQIC in stepped.machine.facilities
    assert stepped.machine.port(stepped.level, queue).tapq()[0].interrupts_enabled == aqic


EVENTS = st.one_of(
    st.tuples(st.just("send"), st.sampled_from(APQNS)),
    st.tuples(st.just("finish"), st.integers(-2, 1)),
    st.tuples(st.just("flush"), st.sampled_from(APQNS)),
    st.tuples(st.just("reset"), st.sampled_from(APQNS)),
    st.tuples(st.just("wait"), st.sampled_from([1e-4, 1e-3, 0.05])),
    st.tuples(st.just("take away"), st.sampled_from([2, 5])),
    st.tuples(st.just("lose"), st.tuples(st.sampled_from([2, 5]), st.sampled_from(GONE))),
)


def happen(stepped, event, argument):
    """Let something happen."""
    if event == "send":
        stepped.send(argument)
    elif event == "finish" and stepped.steps.waiting:
        stepped.steps.finish(argument % len(stepped.steps.waiting))
    elif event == "flush":
        stepped.flush(argument)
    elif event == "reset":
        stepped.write(argument, "reset", "1")
    elif event == "wait":
        stepped.clock.advance(argument)
    elif event == "take away":
        for sign in "-+":
            stepped.system.sysfs.write("bus/ap/apmask", f"{sign}{argument}".encode())
    elif event == "lose":
        adapter, gone = argument
        for state in (gone, AdapterState.ONLINE):
            stepped.machine.set_adapter_state(adapter, state)
            stepped.system.scan()


@pytest.mark.parametrize("facilities", [FACILITIES_OF_M, POLLED], ids=["interrupts", "polling"])
@given(events=st.lists(EVENTS, max_size=40))
def test_every_request_ends(facilities, events):
    stepped = SteppedCards(facilities)
    try:
        for event, argument in events:
            happen(stepped, event, argument)
        stepped.settle()
        assert {message.rc for message in stepped.messages} <= {0, -errno.EAGAIN, -errno.ENODEV}
        for apqn in APQNS:  # one after the other: an interruption makes Linux look at all its queues
            message = stepped.send(apqn)
            stepped.settle()
            assert message.rc == 0
    finally:
        stepped.close()


def test_a_request_in_a_queue_in_error_ends_when_the_system_shuts_down(stepped):
    """It waits for the next scan, and there will be none."""
    queue = APQNS[0]
    stepped.machine.adapters[queue.adapter].filters.add(
        ScriptedAnswers(QueueFunction.NQAP, [ResponseCode.NO_FIRST_PART], forever=True)
    )
    message = stepped.send(queue)
    results = [message.rc]
    stepped.system.shut_down()
    results += [message.rc, stepped.send(queue).rc]
    assert results == [None, -errno.ENODEV, -errno.ENODEV]
