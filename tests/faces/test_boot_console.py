"""The guest's console: marks in a stream of text."""

import os
import pty
import socket
import termios
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apmatrix.faces.boot.console import KEPT, Console, Mark, Splitter


def split(*parts: bytes) -> list[bytes | Mark]:
    """What a splitter gives, with neighbouring text joined."""
    splitter = Splitter()
    joined: list[bytes | Mark] = []
    for part in parts:
        for event in splitter.feed(part):
            if isinstance(event, bytes) and joined and isinstance(joined[-1], bytes):
                joined[-1] += event
            else:
                joined.append(event)
    return joined


def test_marks_and_text():
    stream = b"one\r\n\x1eapmatrix:ready:6.1.0\r\ntwo\x1eapmatrix:end:7\n"
    assert split(stream) == [b"one\r\n", Mark("ready", "6.1.0"), b"two", Mark("end", "7")]


@given(st.integers(0, 60), st.integers(0, 60))
def test_any_split_gives_the_same(first, second):
    stream = b"text\x1eapmatrix:begin:\noutput \x1e of a program\x1eapmatrix:end:0\ntail"
    first, second = sorted((first, second))
    assert split(stream[:first], stream[first:second], stream[second:]) == split(stream)


def test_text_that_only_begins_like_a_mark_is_not_kept_back():
    assert split(b"x\x1eapm") == [b"x"]
    assert split(b"x\x1eapm", b"otion") == [b"x\x1eapmotion"]
    assert split(b"\x1eapmatrix:" + b"y" * 300) == [b"\x1eapmatrix:" + b"y" * 300]


@pytest.fixture
def line():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield Console(ours), theirs


def test_nothing_is_lost_when_the_reader_stops_at_a_mark(line):
    console, guest = line
    guest.send(b"a\x1eapmatrix:ready:1\nb\x1eapmatrix:begin:\n")
    guest.close()
    for event in console.events(1):
        if event == Mark("ready", "1"):
            break
    assert not console.ended
    assert list(console.events(1)) == [b"b", Mark("begin", "")]
    assert list(console.events(1)) == []
    assert console.ended


def test_last_words(line):
    console, guest = line
    assert console.last_words() == ""
    guest.send(b"one\r\n\r\n two\r\nthree\r\nfour\r\n")
    list(console.events(1))
    assert console.last_words() == "two / three / four"
    guest.send(b"x" * KEPT)
    while len(console.last_words()) < KEPT:
        list(console.events(1))
    assert console.last_words() == "x" * KEPT


def test_converse_joins_a_terminal_and_takes_the_marks_out(line):
    console, guest = line
    source, keys = os.pipe()
    screen, sink = os.pipe()
    marks = []
    reader = threading.Thread(target=lambda: marks.extend(console.converse(source, sink)), daemon=True)
    reader.start()
    os.write(keys, b"ls\r")
    assert guest.recv(100) == b"ls\r"
    os.close(keys)
    assert guest.recv(100) == b"\x04"
    guest.send(b"file\r\n\x1eapmatrix:end:0\n")
    guest.close()
    reader.join(5)
    assert not reader.is_alive()
    assert os.read(screen, 100) == b"file\r\n"
    assert marks == [Mark("end", "0")]
    for fd in (source, screen, sink):
        os.close(fd)


def test_a_terminal_gets_its_settings_back(line):
    console, guest = line
    master, slave = pty.openpty()
    before = termios.tcgetattr(slave)
    guest.close()
    list(console.converse(slave, slave))
    assert termios.tcgetattr(slave) == before
    os.close(master)
    os.close(slave)
