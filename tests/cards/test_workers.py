import threading

import pytest

from apmatrix.cards import WorkerPool
from apmatrix.cards.workers import Turn

TURN = Turn()


def test_close_finishes_what_was_submitted():
    done: list[int] = []
    with WorkerPool(2) as pool:
        for number in range(100):
            pool.submit(TURN, done.append, number)
    assert sorted(done) == list(range(100))
    with pytest.raises(RuntimeError, match="closed"):
        pool.submit(TURN, done.append, 0)


def test_faulty_action_costs_no_worker(monkeypatch):
    reported: list[threading.ExceptHookArgs] = []
    monkeypatch.setattr(threading, "excepthook", reported.append)
    done: list[int] = []
    with WorkerPool(1) as pool:
        pool.submit(TURN, int, "no number")
        pool.submit(TURN, done.append, 1)
    assert done == [1]
    assert [report.exc_type for report in reported] == [ValueError]


def test_actions_run_at_the_same_time():
    met = threading.Barrier(3)
    with WorkerPool(2) as pool:
        for _ in range(2):
            pool.submit(TURN, met.wait, 30)
        met.wait(30)


def test_queues_take_turns():
    begun: list[str] = []
    gate = threading.Event()
    busy, other = Turn(), Turn()
    with WorkerPool(1) as pool:
        pool.submit(busy, gate.wait, 30)
        for number in range(3):
            pool.submit(busy, begun.append, f"busy {number}")
        for number in range(2):
            pool.submit(other, begun.append, f"other {number}")
        gate.set()
    assert begun == ["busy 0", "other 0", "busy 1", "other 1", "busy 2"]


def test_a_full_queue_leaves_the_other_workers_busy():
    met = threading.Barrier(3)
    turn = Turn()
    with WorkerPool(2) as pool:
        for _ in range(2):
            pool.submit(turn, met.wait, 30)
        met.wait(30)
