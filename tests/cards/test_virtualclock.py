"""Virtual time: a wait moves it on, and nothing else does."""

import threading

from apmatrix.cards import VirtualClock


class Box:
    """Something to wait for."""

    def __init__(self):
        self.condition = threading.Condition(threading.RLock())
        self.full = False

    def fill(self):
        with self.condition:
            self.full = True
            self.condition.notify_all()


def wait(clock, box, timeout=None):
    with box.condition:
        return clock.wait_for(box.condition, lambda: box.full, timeout)


def test_a_wait_runs_the_timers_up_to_the_one_that_it_waits_for():
    clock, box = VirtualClock(5.0), Box()
    seen: list[float | str] = []
    clock.call_later(3.0, lambda: seen.append(clock.now()))
    clock.call_later(40.0, box.fill)
    clock.call_later(41.0, lambda: seen.append("too far"))
    assert wait(clock, box)
    assert seen == [8.0]
    assert clock.now() == 45.0


def test_time_stands_still_while_nobody_waits():
    clock, box = VirtualClock(), Box()
    clock.call_later(1.0, box.fill)
    assert not box.full
    assert clock.now() == 0.0
    clock.advance(1.0)
    assert box.full


def test_what_is_there_takes_no_time():
    clock, box = VirtualClock(), Box()
    box.fill()
    clock.call_later(1.0, lambda: None)
    assert wait(clock, box)
    assert clock.now() == 0.0


def test_a_timeout_passes_and_no_more():
    clock, box, seen = VirtualClock(), Box(), []
    clock.call_later(2.0, lambda: seen.append(clock.now()))
    clock.call_later(6.0, box.fill)
    assert not wait(clock, box, 5.0)
    assert seen == [2.0]
    assert clock.now() == 5.0


def test_a_timer_that_sets_itself_up_again_does_not_run_for_ever():
    """The bus scan does so, and what is waited for may come from another thread only."""
    clock, box = VirtualClock(), Box()

    def again():
        if clock.now() > 900.0:
            threading.Thread(target=box.fill).start()
        clock.call_later(30.0, again)

    again()
    assert wait(clock, box)
    assert 900.0 < clock.now() <= 1000.0


def test_actions_can_take_the_lock_that_the_wait_gave_away():
    clock, box = VirtualClock(), Box()

    def look():
        with box.condition:
            box.fill()

    clock.call_later(1.0, look)
    with box.condition, box.condition:
        assert clock.wait_for(box.condition, lambda: box.full)
    assert clock.now() == 1.0


def test_a_wait_inside_an_action_moves_the_time_too():
    clock, inner, outer = VirtualClock(), Box(), Box()

    def action():
        wait(clock, inner)
        outer.fill()

    clock.call_later(1.0, lambda: clock.spawn(action))
    clock.call_later(2.0, inner.fill)
    assert wait(clock, outer)
    assert clock.now() == 2.0
