"""What the machine does at the end of a level: it zeroizes, and asks no filter, though every ZAPQ fails."""

import pytest

from apmatrix.arch import Apqn, Mask, Matrix, ResponseCode
from apmatrix.cards import QueueFunction, ScriptedAnswers
from apmatrix.machine import ActivationProfile

Q54, Q57 = Apqn(5, 4), Apqn(5, 7)
Q5 = Matrix(Mask.of(5), Mask.of(4, 7))


@pytest.fixture(params=[ResponseCode.RESET_IN_PROGRESS, ResponseCode(0x46)])
def stuck(request, cpc):
    """LPAR one has replies in two queues, of which none can be reset."""
    failing = ScriptedAnswers(QueueFunction.ZAPQ, [request.param], forever=True)
    cpc.adapters[5].filters.add(failing)
    for queue in (Q54, Q57):
        port = cpc.port(cpc.lpars["one"].level, queue)
        assert port.nqap(1, b"secret").ok
        assert port.zapq().response_code == request.param
        assert port.tapq()[0].replies_waiting
    return cpc


def empty(cpc, lpar, *queues):
    return all(cpc.port(cpc.lpars[lpar].level, queue).tapq()[0].empty for queue in queues)


def test_the_end_of_a_program(stuck):
    stuck.zeroize(stuck.lpars["one"].level)
    assert empty(stuck, "one", Q54, Q57)


def test_a_queue_that_leaves_the_profile(stuck):
    stuck.set_profile("one", Matrix(Mask.of(5), Mask.of(4)))
    stuck.set_profile("two", Matrix(Mask.of(5), Mask.of(7)))
    assert empty(stuck, "two", Q57)
    assert not empty(stuck, "one", Q54)


def test_a_deactivated_lpar(stuck):
    stuck.remove_lpar("one")
    stuck.add_lpar(ActivationProfile("next", Q5))
    assert empty(stuck, "next", Q54, Q57)


def test_a_machine_that_is_powered_off(stuck):
    one = stuck.lpars["one"].level
    guest = one.child("guest")
    guest.set_matrix(Q5)
    stuck.power_off()
    assert not stuck.lpars
    assert stuck.port(guest, Q54).zapq().response_code is ResponseCode.NOT_AVAILABLE
    stuck.add_lpar(ActivationProfile("next", Q5))
    assert empty(stuck, "next", Q54, Q57)


def test_an_adapter_that_the_lpar_configures_off(stuck):
    one = stuck.lpars["one"].level
    assert stuck.configure(one, 5, on=False)
    assert stuck.configure(one, 5, on=True)
    assert empty(stuck, "one", Q54, Q57)


def test_a_level_that_ends_while_its_adapter_is_configured_off(stuck):
    one = stuck.lpars["one"].level
    one.configured_off = Mask.of(5)
    stuck.zeroize(one)
    one.configured_off = Mask()
    assert empty(stuck, "one", Q54, Q57)


def test_a_queue_that_a_level_loses_while_it_ends_is_left_to_its_new_owner(stuck, monkeypatch):
    """Masks change without ``Cpc.lock``: here in the middle of ``zeroize``."""
    one = stuck.lpars["one"].level
    ended, other = one.child("ended"), one.child("other")
    ended.set_matrix(Q5)
    adapter = stuck.adapters[5]
    queues = adapter.used_queues()

    def change_then_list():
        ended.set_matrix(Matrix(Mask.of(5), Mask.of(4)))
        other.set_matrix(Matrix(Mask.of(5), Mask.of(7)))
        return queues

    monkeypatch.setattr(adapter, "used_queues", change_then_list, raising=True)
    stuck.zeroize(ended)
    assert stuck.port(other, Q57).tapq()[0].replies_waiting
    assert empty(stuck, "one", Q54)
