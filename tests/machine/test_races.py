"""A queue that changes hands in the middle of an instruction (design rule: a queue that leaves a guest is reset)."""

from __future__ import annotations

import pytest

from apmatrix.arch import EMPTY_MATRIX, Apqn, CardType, Mask, Matrix, QueueStatus, ResponseCode
from apmatrix.cards import Filter, Firmware, Inline, QueueFunction
from apmatrix.machine import ActivationProfile, Cpc

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
            assert self.machine.nqap(two, QUEUE, 2, b"of two").ok


class Echo(Firmware):
    def process(self, domain, request):
        return request.message


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
        (QueueFunction.NQAP, lambda machine, level: machine.nqap(level, QUEUE, 1, b"of one")),
        (QueueFunction.DQAP, lambda machine, level: machine.dqap(level, QUEUE, 100)),
        (QueueFunction.RAPQ, lambda machine, level: machine.rapq(level, QUEUE)),
        (QueueFunction.ZAPQ, lambda machine, level: machine.zapq(level, QUEUE)),
        (QueueFunction.AQIC, lambda machine, level: machine.aqic(level, QUEUE, None)),
    ],
)
def test_who_lost_a_queue_cannot_touch_it(machine, function, act):
    one, two = machine.lpars["one"].level, machine.lpars["two"].level
    machine.adapters[5].filters.add(Thief(machine, function))
    answer = act(machine, one)
    status = answer if isinstance(answer, QueueStatus) else answer.status
    assert status.response_code == ResponseCode.NOT_AVAILABLE
    delivery = machine.dqap(two, QUEUE, 100)
    assert (delivery.message_id, delivery.data) == (2, b"of two")
    assert machine.dqap(two, QUEUE, 100).status.empty


def test_a_filter_cannot_keep_a_queue_from_being_cleared(machine):
    class Stubborn(Filter):
        def function(self, queue, function):
            from apmatrix.cards import Answer

            return Answer(ResponseCode.BUSY) if function is QueueFunction.ZAPQ else None

    machine.adapters[5].filters.add(Stubborn())
    assert machine.nqap(machine.lpars["one"].level, QUEUE, 1, b"of one").ok
    machine.set_profile("one", EMPTY_MATRIX)
    machine.set_profile("two", MATRIX)
    status = machine.dqap(machine.lpars["two"].level, QUEUE, 100).status
    assert status.response_code == ResponseCode.NO_PENDING_REPLY
    assert status.empty
