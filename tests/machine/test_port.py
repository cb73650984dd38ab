"""Ports: a queue's address at a level, which may be kept whatever becomes of the queue."""

from apmatrix.arch import EMPTY_MATRIX, Apqn, CardFunctions, Mask, Matrix, ResponseCode
from apmatrix.cards import Answer, Filter
from support.bench import MATRIX_OF_M, QUEUE


class BusyAnswers(Filter):
    """Notes what the filters of an adapter are asked about, and answers everything."""

    def __init__(self):
        self.seen = []

    def function(self, queue, function):
        self.seen.append(function)
        return Answer(ResponseCode.BUSY)


def every_function(port):
    """The response code of each AP function that has an APQN."""
    statuses = (
        port.tapq()[0],
        port.rapq(),
        port.zapq(),
        port.aqic(None),
        port.qact(CardFunctions(coprocessor=True), 14)[0],
        port.nqap(1, b"request"),
        port.dqap(100).status,
    )
    return {status.response_code for status in statuses}


def test_a_queue_without_a_right_is_out_of_reach_of_every_function(bench):
    port, witness = bench.machine.port(bench.level, QUEUE), BusyAnswers()
    bench.adapter.filters.add(witness)
    assert every_function(port) == {ResponseCode.BUSY}
    assert len(witness.seen) == 7
    bench.machine.set_profile("lpar", EMPTY_MATRIX)
    assert every_function(port) == {ResponseCode.NOT_AVAILABLE}
    bench.machine.set_profile("lpar", MATRIX_OF_M)
    bench.machine.configure(bench.level, QUEUE.adapter, on=False)
    assert every_function(port) == {ResponseCode.DECONFIGURED}
    assert len(witness.seen) == 7  # no fault of the adapter can be seen from there
    bench.machine.configure(bench.level, QUEUE.adapter, on=True)
    assert every_function(port) == {ResponseCode.BUSY}


def test_a_port_may_be_older_than_its_adapter(bench):
    bench.machine.set_profile("lpar", Matrix(Mask.of(9), Mask.of(6)))
    port = bench.machine.port(bench.level, Apqn(9, 6))
    assert every_function(port) == {ResponseCode.NOT_AVAILABLE}
    assert port.tapq()[1].value == 0
    bench.plug(9, "CEX8C")
    assert port.tapq()[0].ok
    assert port.nqap(1, b"request").ok


def test_each_level_has_a_port_of_its_own(bench):
    guest = bench.level.child("guest")
    guest.set_matrix(MATRIX_OF_M)
    nested = guest.child("nested")
    inner, outer = bench.machine.port(nested, QUEUE), bench.machine.port(bench.level, QUEUE)
    assert (inner.tapq()[0].response_code, outer.tapq()[0].ok) == (ResponseCode.NOT_AVAILABLE, True)
    nested.set_matrix(MATRIX_OF_M)
    assert inner.tapq()[0].ok
