"""The queue engine, function by function. The numbers in comments are vectors of hardware.md 8.1."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from apmatrix.arch import CardFunctions, Mask, ResponseCode
from apmatrix.cards import (
    AdapterState,
    Answer,
    CardError,
    Filter,
    Firmware,
    Handling,
    Loss,
    ManualClock,
    QueueFunction,
    RealClock,
    Request,
    ScriptedAnswers,
    WorkerPool,
)
from support.queues import Bell, Echo, Stepper, make_adapter

FAILURE = bytes.fromhex("0082000010000000")


class SteppedQueue:
    """Queue 05.0006 of a stepped adapter."""

    def __init__(self, **options):
        self.workers = Stepper()
        self.clock = ManualClock()
        options.setdefault("firmware", Echo())
        self.adapter = make_adapter(clock=self.clock, workers=self.workers, **options)
        self.queue = self.adapter.queue(6)

    def fill(self, in_process, ready=0):
        for number in range(in_process + ready):
            assert self.queue.enqueue(Request(number, b"%d" % number)).ok
        for _ in range(ready):
            self.workers.finish()
        return self


def words(status):
    return f"{status.value:08x}"


@pytest.fixture
def stepped():
    return SteppedQueue()


@pytest.mark.parametrize(
    ("in_process", "ready", "interrupts", "expected"),
    [
        (0, 0, True, "81000000"),  # 19
        (3, 0, True, "01000000"),  # 20
        (2, 1, True, "41000000"),  # 21
        (8, 0, False, "20000000"),  # 22
        (5, 3, False, "60000000"),  # 23
        (0, 8, False, "60000000"),
    ],
)
def test_flags(stepped, in_process, ready, interrupts, expected):
    if interrupts:
        stepped.queue.set_interruption(Bell())
    stepped.fill(in_process, ready)
    assert words(stepped.queue.test()) == expected


@pytest.mark.parametrize("state", [AdapterState.DECONFIGURED, AdapterState.CHECKSTOPPED])
def test_stopped_adapter_drops_everything_and_answers_its_code(stepped, state):
    stepped.queue.set_interruption(Bell())
    stepped.fill(1, 1)
    stepped.adapter.set_state(state)
    code = {"deconfigured": "80030000", "checkstopped": "80040000"}[state.value]  # 15, 16, 29, 54, 68
    assert words(stepped.queue.test()) == code
    assert words(stepped.queue.reset()) == code
    assert words(stepped.queue.enqueue(Request(1, b""))) == code
    assert words(stepped.queue.dequeue(100).status) == code
    assert words(stepped.queue.set_interruption(Bell())) == code
    stepped.workers.run()
    stepped.adapter.set_state(AdapterState.ONLINE)
    assert words(stepped.queue.test()) == "80000000"


@pytest.mark.parametrize("zeroize", [False, True])
def test_reset_completes_at_once_without_a_duration(stepped, zeroize):
    stepped.queue.set_interruption(Bell())
    stepped.fill(2, 1)
    assert words(stepped.queue.reset(zeroize=zeroize)) == "80000000"  # 24, 28
    assert words(stepped.queue.test()) == "80000000"
    stepped.workers.run()
    assert words(stepped.queue.test()) == "80000000"
    assert words(stepped.queue.dequeue(100).status) == "80100000"


def test_everything_answers_02_while_a_reset_runs():
    stepped = SteppedQueue(reset_duration=0.5)
    stepped.fill(1, 1)
    assert words(stepped.queue.reset()) == "80000000"
    for _ in range(2):
        assert words(stepped.queue.test()) == "80020000"  # 17
        assert words(stepped.queue.reset()) == "80020000"  # 25
        assert words(stepped.queue.enqueue(Request(1, b""))) == "80020000"  # 53
        assert words(stepped.queue.dequeue(1).status) == "80020000"  # 67
        assert words(stepped.queue.set_interruption(Bell())) == "80020000"  # 37
        stepped.clock.advance(0.25 - 1e-9)
    stepped.clock.advance(0.1)
    assert words(stepped.queue.test()) == "80000000"
    stepped.workers.run()
    assert words(stepped.queue.test()) == "80000000"


def test_state_of_the_adapter_goes_before_a_running_reset():
    stepped = SteppedQueue(reset_duration=1)
    stepped.queue.reset()
    stepped.adapter.set_state(AdapterState.CHECKSTOPPED)
    assert words(stepped.queue.test()) == "80040000"
    stepped.adapter.set_state(AdapterState.ONLINE)
    assert words(stepped.queue.test()) == "80000000"


def test_checks_of_enqueue_in_their_order():
    stepped = SteppedQueue(functions=CardFunctions(0x13800000))  # without APSC
    too_long = Request(0, bytes(24577), special=True)
    assert words(stepped.queue.enqueue(too_long)) == "80150000"  # 50
    assert words(stepped.queue.enqueue(Request(0, b"", special=True))) == "80160000"  # 51
    assert words(stepped.queue.enqueue(Request(0, bytes(12288)))) == "00000000"
    stepped.fill(6)
    assert words(stepped.queue.enqueue(Request(0, b""))) == "20000000"  # 48
    assert words(stepped.queue.enqueue(Request(0, b""))) == "20100000"  # 49
    assert words(stepped.queue.enqueue(Request(0, b"", special=True))) == "20100000"
    assert words(stepped.queue.enqueue(too_long)) == "20150000"


def test_empty_queue_tells_whether_something_is_in_process(stepped):
    assert words(stepped.queue.dequeue(100).status) == "80100000"  # 57
    stepped.fill(1)
    assert words(stepped.queue.dequeue(100).status) == "00100000"  # 58


def test_replies_come_in_the_order_of_completion_with_their_ids(stepped):
    stepped.fill(3)
    stepped.workers.finish(1)
    stepped.workers.run()
    found = [stepped.queue.dequeue(100) for _ in range(3)]
    assert [(item.message_id, item.data) for item in found] == [(1, b"\x061"), (0, b"\x060"), (2, b"\x062")]
    assert [words(item.status) for item in found] == ["40000000", "40000000", "80000000"]  # 61, 69


def test_truncation_protocol(stepped):
    stepped.queue.enqueue(Request(7, bytes(range(200)) * 3))
    stepped.workers.run()
    whole = b"\x06" + bytes(range(200)) * 3
    first = stepped.queue.dequeue(256)
    assert (first.status, first.data, first.remaining, first.position) == (None, whole[:256], 345, 256)  # 65
    second = stepped.queue.dequeue(256, first.position)
    assert (second.status, second.data, second.remaining) == (None, whole[256:512], 89)
    assert words(stepped.queue.dequeue(256, 601).status) == "40110000"  # 66
    assert stepped.queue.dequeue(256).data == whole[:256]  # position 0 starts again
    last = stepped.queue.dequeue(89, second.position)
    assert (words(last.status), last.data, last.remaining, last.message_id) == ("80000000", whole[512:], 0, 7)


def test_exact_fit_is_no_truncation(stepped):
    stepped.fill(0, 1)
    found = stepped.queue.dequeue(2)
    assert (words(found.status), found.data, found.remaining) == ("80000000", b"\x060", 0)  # 62


def test_interruption_is_posted_when_the_first_reply_begins_to_wait(stepped):
    bell = Bell()
    assert words(stepped.queue.set_interruption(bell)) == "81000000"  # 31
    stepped.fill(3)
    stepped.workers.finish()
    assert bell.rings == 1  # 70
    stepped.workers.finish()
    assert bell.rings == 1  # 71
    stepped.queue.dequeue(100)
    stepped.workers.finish()
    assert bell.rings == 1
    stepped.queue.dequeue(100)
    stepped.queue.dequeue(100)
    stepped.fill(0, 1)
    assert bell.rings == 2  # 72


def test_interruption_control(stepped):
    assert words(stepped.queue.set_interruption(None)) == "80070000"  # 34
    stepped.queue.set_interruption(Bell("a"))
    assert words(stepped.queue.set_interruption(Bell("a"))) == "81070000"  # 32
    assert words(stepped.queue.set_interruption(Bell("b"))) == "81000000"
    assert words(stepped.queue.set_interruption(None)) == "80000000"  # 33
    stepped.fill(0, 1)
    bell = Bell()
    assert words(stepped.queue.set_interruption(bell)) == "41000000"  # 73
    assert bell.rings == 1


def test_fault_in_the_card_is_answered_and_remembered_without_data():
    class Broken(Firmware):
        def process(self, domain, request):
            raise ValueError(request.message.decode())

    stepped = SteppedQueue(firmware=Broken())
    stepped.queue.enqueue(Request(3, b"top secret"))
    stepped.workers.run()
    found = stepped.queue.dequeue(100)
    assert (found.message_id, found.data) == (3, FAILURE)
    failure = stepped.adapter.failures[-1]
    assert (failure.apqn, failure.error) == (stepped.queue.apqn, "ValueError")
    assert "test_queue.py" in failure.place
    assert "secret" not in repr(failure)


def test_faulty_indication_loses_no_reply_and_counts_right():
    class Broken(Bell):
        def post(self):
            raise RuntimeError

    adapter = make_adapter(firmware=Echo())
    queue = adapter.queue(6)
    queue.set_interruption(Broken())
    for number in range(2):
        assert words(queue.enqueue(Request(number, b""))) in ("01000000", "41000000")
    assert words(queue.test()) == "41000000"
    assert [queue.dequeue(10).message_id for _ in range(2)] == [0, 1]
    assert words(queue.test()) == "81000000"
    assert adapter.failures[-1].error == "RuntimeError"


def test_closed_pool_loses_no_request():
    workers = ThreadPoolExecutor(1)
    workers.shutdown()
    queue = make_adapter(workers=workers).queue(6)
    assert queue.enqueue(Request(3, b"")).ok
    assert queue.dequeue(100).data == FAILURE


def test_messages_are_never_shown(stepped):
    assert "secret" not in repr(Request(1, b"secret"))
    stepped.queue.enqueue(Request(1, b"secret"))
    stepped.workers.run()
    assert "secret" not in repr(stepped.queue.dequeue(100))


@pytest.mark.parametrize(("depth", "limit"), [(0, 3), (17, 3), (8, 16), (8, -1)])
def test_impossible_adapters(depth, limit):
    with pytest.raises(CardError, match="adapter 05"):
        make_adapter(depth=depth, message_limit=limit)


def test_queue_of_a_domain_that_cannot_be():
    with pytest.raises(CardError, match="domain 256"):
        make_adapter().queue(256)


def test_info_word():
    assert make_adapter().info(0x54).value == 0x938000000E540607
    word = make_adapter(depth=2, message_limit=0, hardware_type=15).info(255).value
    assert word == 0x938000000FFF0001


class TestFilters:
    def test_scripted_answers(self, stepped):
        codes = (
            ResponseCode.STATE_CHANGE_IN_PROGRESS,
            ResponseCode.NORMAL,
            ResponseCode.RESET_IN_PROGRESS,
        )
        script = ScriptedAnswers(QueueFunction.ZAPQ, codes, apqns=[stepped.queue.apqn])
        stepped.adapter.filters.add(script)
        stepped.fill(1)
        assert words(stepped.queue.reset()) == "80000000"
        stepped.fill(1)
        assert stepped.adapter.queue(7).reset(zeroize=True).ok
        assert words(stepped.queue.reset(zeroize=True)) == "000a0000"
        assert words(stepped.queue.reset(zeroize=True)) == "80000000"
        assert words(stepped.queue.reset(zeroize=True)) == "80020000"
        assert words(stepped.queue.reset(zeroize=True)) == "80000000"
        assert script.remaining == 0

    def test_asynchronous_error_for_ever_until_removed(self, stepped):
        script = ScriptedAnswers(QueueFunction.TAPQ, [Answer(ResponseCode(0x10), async_error=True)], forever=True)
        stepped.adapter.filters.add(script)
        assert [words(stepped.queue.test()) for _ in range(3)] == ["82100000"] * 3
        stepped.adapter.filters.remove(script)
        assert words(stepped.queue.test()) == "80000000"

    def test_request_is_altered_delayed_and_its_reply_too(self, stepped):
        class Fault(Filter):
            def request(self, queue, handling):
                request = handling.request
                return Handling(Request(request.message_id, request.message.upper()), delay=2.0)

            def reply(self, queue, request, reply):
                return reply + b"!"

        stepped.adapter.filters.add(Fault())
        stepped.queue.enqueue(Request(1, b"a"))
        stepped.workers.run()
        stepped.clock.advance(1.9)
        assert words(stepped.queue.test()) == "00000000"
        stepped.clock.advance(0.1)
        assert stepped.queue.dequeue(10).data == b"\x06A!"

    @pytest.mark.parametrize(("loss", "status"), [(Loss.HELD, "00100000"), (Loss.GONE, "80100000")])
    def test_lost_request(self, stepped, loss, status):
        class Fault(Filter):
            def request(self, queue, handling):
                return Handling(handling.request, loss=loss)

        stepped.adapter.filters.add(Fault())
        assert stepped.queue.enqueue(Request(1, b"a")).ok
        assert not stepped.workers.waiting
        assert words(stepped.queue.dequeue(10).status) == status
        stepped.queue.reset()
        assert words(stepped.queue.test()) == "80000000"

    def test_reset_goes_before_a_delayed_reply(self, stepped):
        class Fault(Filter):
            def request(self, queue, handling):
                return Handling(handling.request, delay=2.0)

        stepped.adapter.filters.add(Fault())
        stepped.fill(1)
        stepped.workers.run()
        stepped.queue.reset()
        stepped.clock.advance(3)
        assert words(stepped.queue.test()) == "80000000"

    def test_requests_pass_in_order_and_replies_in_reverse(self, stepped):
        class Mark(Filter):
            def __init__(self, letter):
                self.letter = letter

            def request(self, queue, handling):
                request = handling.request
                return replace(handling, request=request._replace(message=request.message + self.letter))

            def reply(self, queue, request, reply):
                return reply + self.letter

        for letter in (b"1", b"2"):
            stepped.adapter.filters.add(Mark(letter))
        assert len(stepped.adapter.filters) == 2
        stepped.fill(0, 1)
        assert stepped.queue.dequeue(10).data == b"\x06012" + b"21"

    def test_faulty_filter_of_functions_is_passed_by(self, stepped):
        class Broken(Filter):
            def function(self, queue, function):
                raise KeyError

        stepped.adapter.filters.add(Broken())
        assert words(stepped.queue.test()) == "80000000"
        assert stepped.adapter.failures[-1].error == "KeyError"

    def test_code_without_a_name(self, stepped):
        stepped.adapter.filters.add(ScriptedAnswers(QueueFunction.TAPQ, [ResponseCode(0x99)]))
        status = stepped.queue.test()
        assert words(status) == "80990000"
        assert status.response_code == 0x99

    def test_faulty_filter_is_a_machine_failure(self, stepped):
        class Broken(Filter):
            def request(self, queue, handling):
                raise KeyError

        stepped.adapter.filters.add(Broken())
        assert stepped.queue.enqueue(Request(1, b"a")).ok
        assert stepped.queue.dequeue(10).data == FAILURE


def test_wait_ends_with_a_reply_a_reset_or_at_once_when_nothing_is_in_process():
    release = threading.Event()

    class Slow(Firmware):
        def process(self, domain, request):
            assert release.wait(30)
            return b"done"

    with WorkerPool(2) as workers:
        adapter = make_adapter(firmware=Slow(), clock=RealClock(), workers=workers)
        queue = adapter.queue(6)
        assert not queue.wait()
        queue.enqueue(Request(1, b""))
        assert not queue.wait(0.001)
        release.set()
        assert queue.wait()
        assert queue.dequeue(100).data == b"done"
        release.clear()
        queue.enqueue(Request(1, b""))
        resetter = threading.Thread(target=queue.reset)
        resetter.start()
        assert not queue.wait(30)
        resetter.join()
        release.set()


def test_many_threads_lose_no_reply_and_mix_up_none():
    with WorkerPool(4) as workers:
        adapter = make_adapter(firmware=Echo(), clock=RealClock(), workers=workers)

        def use(domain):
            queue = adapter.queue(domain)
            for number in range(200):
                assert queue.enqueue(Request(domain << 32 | number, b"%d" % number)).ok
                assert queue.wait()
                found = queue.dequeue(100)
                assert (found.message_id, found.data) == (domain << 32 | number, bytes((domain,)) + b"%d" % number)

        with ThreadPoolExecutor(6) as users:
            list(users.map(use, range(6)))
    assert not adapter.failures
    assert all(adapter.queue(domain).test().empty for domain in Mask.up_to(5))


def test_wait_for_several_replies(stepped):
    stepped.fill(3)
    results = []

    def wait(replies):
        results.append((replies, stepped.queue.wait(replies=replies), stepped.queue.test().replies_waiting))

    waiters = [threading.Thread(target=wait, args=(replies,)) for replies in (2, 3)]
    for waiter in waiters:
        waiter.start()
    while len(stepped.queue._awaited) < 2:
        pass
    stepped.workers.finish()
    assert not results
    stepped.workers.finish()
    waiters[0].join()
    assert results == [(2, True, True)]
    stepped.workers.finish()
    waiters[1].join()
    assert results[-1] == (3, True, True)
    assert stepped.queue.wait(replies=8)  # as nothing more can come


class Load:
    """Threads that send to, take from, reset and stop one queue, all at once."""

    def __init__(self, workers):
        self.adapter = make_adapter(firmware=Echo(), clock=RealClock(), workers=workers)
        self.queue = self.adapter.queue(6)
        self.ended = threading.Event()

    def send(self, first):
        for number in range(first, first + 500):
            self.queue.enqueue(Request(number, b"%d" % number))

    def take(self):
        while not self.ended.is_set():
            self.queue.wait(0.01)
            found = self.queue.dequeue(100)
            if found.status is not None and found.status.ok:
                assert found.data == b"\x06%d" % found.message_id

    def disturb(self):
        for number in range(200):
            self.queue.reset(zeroize=bool(number % 2))
            self.adapter.set_state(AdapterState.DECONFIGURED)
            self.adapter.set_state(AdapterState.ONLINE)


def test_resets_and_failing_cards_under_load_mix_up_nothing():
    with WorkerPool(2) as workers, ThreadPoolExecutor(5) as threads:
        load = Load(workers)
        takers = [threads.submit(load.take) for _ in range(2)]
        others = [threads.submit(load.send, 0), threads.submit(load.send, 1000), threads.submit(load.disturb)]
        for other in others:
            other.result()
        while not load.queue.test().empty:
            pass
        load.ended.set()
        for taker in takers:
            taker.result()
        assert load.queue.enqueue(Request(1, b"still alive")).ok
        assert load.queue.wait()
        assert load.queue.dequeue(100).data == b"\x06still alive"
    assert not load.adapter.failures
