"""A mount that goes from command to command, whatever becomes of them."""

import os

import pytest

from apmatrix.service.sharing import SharedMount


class Descriptors:
    """Makes descriptors whose fate can be seen: the reading end finds the end when they are closed."""

    def __init__(self):
        self.ends = []

    def __call__(self):
        reading, writing = os.pipe()
        self.ends.append(reading)
        return writing

    def open(self):
        """Whether each of them is open still."""
        return [not _ended(end) for end in self.ends]


@pytest.fixture
def descriptor():
    made = Descriptors()
    yield made
    for end in made.ends:
        os.close(end)


def nothing():
    """Nothing is to be done when there is no command any more."""


def _ended(end):
    os.set_blocking(end, False)
    try:
        return os.read(end, 1) == b""
    except BlockingIOError:
        return False


def test_the_first_makes_it_the_next_ones_get_it(descriptor):
    shared, mount = SharedMount(nothing), descriptor()
    assert shared.take("a") == (None, "work1")
    shared.give("a", mount)
    assert shared.take("b") == (mount, "work2")
    other = descriptor()
    shared.give("b", other)
    shared.leave("a")
    assert shared.take("c")[0] == other


def test_it_goes_with_the_last_one(descriptor):
    shared = SharedMount(nothing)
    for user in ("a", "b"):
        shared.take(user)
        shared.give(user, descriptor())
    shared.leave("a")
    assert descriptor.open()[1]
    shared.leave("b")
    assert not descriptor.open()[1]
    assert shared.take("c") == (None, "work3")


def test_the_end_of_the_last_one_is_told(descriptor):
    ends = []
    shared = SharedMount(lambda: ends.append(1))
    for user in ("a", "b"):
        shared.take(user)
        shared.give(user, descriptor())
    shared.leave("a")
    shared.leave("a")
    shared.leave("a stranger")
    assert ends == []
    shared.leave("b")
    assert ends == [1]


def waited(shared, monkeypatch, happens):
    """Have something happen to ``shared`` when somebody waits for it; the answers to the question that he has."""
    answers = []

    def wait_for(ready, _patience):
        answers.append(ready())
        happens()
        answers.append(ready())

    monkeypatch.setattr(shared._free, "wait_for", wait_for)
    return answers


def test_the_next_one_waits(descriptor, monkeypatch):
    shared, mount = SharedMount(nothing), descriptor()
    shared.take("a")
    answers = waited(shared, monkeypatch, lambda: shared.give("a", mount))
    assert shared.take("b") == (mount, "work2")
    assert answers == [False, True]


def test_who_ends_on_the_way_holds_nobody_up(monkeypatch):
    shared = SharedMount(nothing)
    shared.take("a")
    answers = waited(shared, monkeypatch, lambda: shared.leave("a"))
    assert shared.take("b") == (None, "work2")
    assert answers == [False, True]


def test_what_comes_too_late_is_not_kept(descriptor, monkeypatch):
    monkeypatch.setattr("apmatrix.service.sharing._PATIENCE", 0)
    shared = SharedMount(nothing)
    shared.take("a")
    shared.take("b")
    shared.give("a", descriptor())
    kept = descriptor()
    shared.give("b", kept)
    assert descriptor.open() == [False, True]
    assert shared.take("c")[0] == kept


def test_directories_do_not_become_more_and_more():
    shared = SharedMount(nothing)
    names = set()
    for user in range(1000):
        names.add(shared.take(user)[1])
        shared.leave(user)
    assert len(names) == 64
