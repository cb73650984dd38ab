import gc
import threading
import time
from functools import partial

import pytest

from apmatrix.cards import ManualClock, RealClock


def test_timers_run_in_the_order_of_their_times_and_see_them():
    clock = ManualClock(100.0)
    seen = []

    def note(delay):
        seen.append((delay, clock.now()))

    for delay in (3, 1, 2, 1):
        clock.call_later(delay, partial(note, delay))
    clock.advance(2.5)
    assert seen == [(1, 101.0), (1, 101.0), (2, 102.0)]
    assert clock.now() == 102.5
    clock.advance(0.5)
    assert seen[-1] == (3, 103.0)


def test_timer_made_by_a_timer_runs_in_the_same_advance_if_due():
    clock = ManualClock()
    seen = []

    def again():
        clock.call_later(1, lambda: seen.append(clock.now()))

    clock.call_later(1, again)
    clock.advance(5)
    assert seen == [2.0]


def test_cancelled_timer_does_not_run():
    clock = ManualClock()
    seen = []
    clock.call_later(1, lambda: seen.append("kept"))
    clock.call_later(1, lambda: seen.append("cancelled")).cancel()
    clock.advance(1)
    assert seen == ["kept"]


def test_manual_wait_ends_by_predicate_or_by_manual_time_only():
    clock = ManualClock()
    condition = threading.Condition()
    results = []

    def wait(timeout):
        with condition:
            results.append(clock.wait_for(condition, lambda: False, timeout))

    waiter = threading.Thread(target=wait, args=(10,))
    waiter.start()
    while not clock._waiting:
        pass
    clock.advance(9.9)
    assert results == []
    clock.advance(0.1)
    waiter.join()
    assert results == [False]
    with condition:
        assert clock.wait_for(condition, lambda: True, 0)


def test_real_clock_begins_when_it_is_made():
    before = time.monotonic()
    clock = RealClock()
    assert 0 <= clock.now() <= time.monotonic() - before


def test_real_clock_runs_actions_on_one_thread_in_order(monkeypatch):
    clock = RealClock()
    registered, done = threading.Event(), threading.Event()
    seen = []

    def note(name):
        seen.append((name, threading.get_ident()))
        if name == "late":
            done.set()

    def hold():
        registered.wait()

    # Until all are there, time stands still and the thread is busy.
    start = clock.now()
    monkeypatch.setattr(clock, "now", lambda: start)
    clock.call_later(0.0, hold)
    clock.call_later(0.02, partial(note, "late"))
    clock.call_later(0.0, partial(note, "early"))
    clock.call_later(0.01, partial(note, "never")).cancel()
    monkeypatch.undo()
    registered.set()
    assert done.wait(30)
    assert [name for name, _ in seen] == ["early", "late"]
    assert len({thread for _, thread in seen} | {threading.get_ident()}) == 2


def test_real_clock_survives_an_action_that_fails(monkeypatch):
    reported: list[threading.ExceptHookArgs] = []
    monkeypatch.setattr(threading, "excepthook", reported.append)
    clock = RealClock()
    done = threading.Event()

    def fail():
        raise RuntimeError("broken action")

    clock.call_later(0.0, fail)
    clock.call_later(0.001, done.set)
    assert done.wait(30)
    assert [str(report.exc_value) for report in reported] == ["broken action"]


def test_real_clock_survives_a_timer_that_is_ages_away(monkeypatch):
    """No wait of the interpreter is that long."""
    reported: list[threading.ExceptHookArgs] = []
    monkeypatch.setattr(threading, "excepthook", reported.append)
    clock = RealClock()
    done = threading.Event()

    def never():
        raise AssertionError("its time has come")

    far = clock.call_later(1e300, never)
    clock.call_later(0.01, done.set)
    assert done.wait(30)
    far.cancel()
    assert reported == []


@pytest.mark.parametrize("kind", [ManualClock, RealClock])
def test_cancelled_timers_are_forgotten_long_before_they_are_due(kind):
    def kept():
        return sum(type(item).__name__ == "_Alarm" for item in gc.get_objects())

    clock, before, seen = kind(), kept(), []
    clock.call_later(900, lambda: seen.append("kept"))
    for _ in range(10_000):
        clock.call_later(900, lambda: seen.append("cancelled")).cancel()
    assert kept() - before < 200
    if isinstance(clock, ManualClock):
        clock.advance(900)
        assert seen == ["kept"]
    else:
        clock.close()
