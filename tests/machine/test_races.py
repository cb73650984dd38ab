"""A queue that changes hands in the middle of an instruction (design rule: a queue that leaves a guest is reset)."""

from __future__ import annotations

import pytest

from apmatrix.arch import EMPTY_MATRIX, Apqn, CardType, Mask, Matrix, QueueStatus, ResponseCode
from apmatrix.cards import Filter, Inline, QueueFunction
from apmatrix.machine import ActivationProfile, Cpc
from support.queues import Echo

QUEUE = Apqn(5, 6)
MATRIX = Matrix(Mask.of(5), Mask.of(6), Mask.of(6))


class Thief(Filter):
    """Takes the queue from LPAR one and gives it to LPAR two while a chosen function is executed."""

    def __init__(self, machine: Cpc, function: QueueFunction) -> None:
        self.machine, self.chosen, self.struck = machine, function, False

    def function(self, queue, function):
        if function is self.chosen and not self.struck:
            self.struck = True
            self.machine.set_profile("one", EMPTY_MATRIX)
            self.machine.set_profile("two", MATRIX)
            two = self.machine.lpars["two"].level
            assert self.machine.port(two, QUEUE).nqap(2, b"of two").ok


class Unplugger(Filter):
    """Configures the adapter off for LPAR one while NQAP is executed."""

    def __init__(self, machine: Cpc) -> None:
        self.machine = machine

    def function(self, queue, function):
        if function is QueueFunction.NQAP:
            assert self.machine.configure(self.machine.lpars["one"].level, QUEUE.adapter, on=False)


@pytest.fixture
def machine():
    made = Cpc("m")
    adapter = made.add_adapter(5, CardType.parse("CEX8A"), firmware=Echo())
    adapter.workers = Inline()
    made.add_lpar(ActivationProfile("one", MATRIX))
    made.add_lpar(ActivationProfile("two"))
    yield made
    made.close()


@pytest.mark.parametrize(
    ("function", "act"),
    [
        (QueueFunction.NQAP, lambda port: port.nqap(1, b"of one")),
        (QueueFunction.DQAP, lambda port: port.dqap(100)),
        (QueueFunction.RAPQ, lambda port: port.rapq()),
        (QueueFunction.ZAPQ, lambda port: port.zapq()),
        (QueueFunction.AQIC, lambda port: port.aqic(None)),
    ],
)
def test_who_lost_a_queue_cannot_touch_it(machine, function, act):
    one, two = machine.lpars["one"].level, machine.lpars["two"].level
    machine.adapters[5].filters.add(Thief(machine, function))
    answer = act(machine.port(one, QUEUE))
    status = answer if isinstance(answer, QueueStatus) else answer.status
    assert status.response_code == ResponseCode.NOT_AVAILABLE
    port = machine.port(two, QUEUE)
    delivery = port.dqap(100)
    assert (delivery.message_id, delivery.data) == (2, b"\6of two")
    assert port.dqap(100).status.empty


def test_a_request_does_not_slip_into_an_adapter_that_is_being_configured_off(machine):
    level = machine.lpars["one"].level
    port = machine.port(level, QUEUE)
    machine.adapters[5].filters.add(Unplugger(machine))
    assert port.nqap(1, b"of one").response_code is ResponseCode.DECONFIGURED
    machine.configure(level, QUEUE.adapter, on=True)
    assert port.tapq()[0].empty


def test_a_filter_cannot_keep_a_queue_from_being_cleared(machine):
    class Stubborn(Filter):
        def function(self, queue, function):
            from apmatrix.cards import Answer

            return Answer(ResponseCode.BUSY) if function is QueueFunction.ZAPQ else None

    machine.adapters[5].filters.add(Stubborn())
    assert machine.port(machine.lpars["one"].level, QUEUE).nqap(1, b"of one").ok
    machine.set_profile("one", EMPTY_MATRIX)
    machine.set_profile("two", MATRIX)
    status = machine.port(machine.lpars["two"].level, QUEUE).dqap(100).status
    assert status.response_code == ResponseCode.NO_PENDING_REPLY
    assert status.empty
