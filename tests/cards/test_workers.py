import threading

import pytest

from apmatrix.cards import WorkerPool


def test_close_finishes_what_was_submitted():
    done: list[int] = []
    with WorkerPool(2) as pool:
        for number in range(100):
            pool.submit(done.append, number)
    assert sorted(done) == list(range(100))
    with pytest.raises(RuntimeError, match="closed"):
        pool.submit(done.append, 0)


def test_faulty_action_costs_no_worker(monkeypatch):
    reported: list[threading.ExceptHookArgs] = []
    monkeypatch.setattr(threading, "excepthook", reported.append)
    done: list[int] = []
    with WorkerPool(1) as pool:
        pool.submit(int, "no number")
        pool.submit(done.append, 1)
    assert done == [1]
    assert [report.exc_type for report in reported] == [ValueError]


def test_actions_run_at_the_same_time():
    met = threading.Barrier(3)
    with WorkerPool(2) as pool:
        for _ in range(2):
            pool.submit(met.wait, 30)
        met.wait(30)
