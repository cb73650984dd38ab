import errno
import os
from pathlib import Path

import pytest

from apmatrix.arch import Apqn
from apmatrix.cards.recording import (
    Exchange,
    Recorder,
    RecordingError,
    Replay,
    read_exchanges,
    write_exchange,
)
from support.messages import vectors
from support.queues import exchange, make_adapter

MV = vectors()


def recorded(*messages):
    taken: list[Exchange] = []
    adapter = make_adapter()
    adapter.filters.add(Recorder(taken.append))
    replies = [exchange(adapter, message, message_id=number) for number, message in enumerate(messages, 1)]
    return taken, replies


def test_record_holds_requests_and_replies():
    taken, replies = recorded(MV["MV-5"], MV["MV-9"])
    assert [item.reply for item in taken] == replies
    assert taken[0] == Exchange(0.0, Apqn(5, 6), 1, False, MV["MV-5"], MV["MV-6"])
    assert "00112233" not in repr(taken[0])


def test_file_there_and_back(tmp_path):
    taken, _ = recorded(MV["MV-5"], MV["MV-9"])
    path = tmp_path / "record"
    write = write_exchange(path)
    for item in taken:
        write(item)
    assert path.stat().st_mode & 0o077 == 0
    assert read_exchanges(path) == taken


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "line 1"),
        ('{"time": 1}', "line 1: this is not a recorded exchange"),
        ('{"time":0,"apqn":"5","message_id":1,"special":false,"message":"","reply":""}', "not an APQN"),
        ('{"time":0,"apqn":"05.0006","message_id":1,"special":false,"message":"x","reply":""}', "line 1"),
    ],
)
def test_damaged_file(tmp_path, content, message):
    path = tmp_path / "record"
    path.write_text(content)
    with pytest.raises(RecordingError, match=message):
        read_exchanges(path)
    with pytest.raises(RecordingError, match="missing"):
        read_exchanges(tmp_path / "missing")


@pytest.mark.parametrize("path", ["/dev/zero", "/", "no\0name"])
def test_what_can_be_no_record(path):
    with pytest.raises(RecordingError, match="the record cannot be read: "):
        read_exchanges(Path(path))


def test_replay_answers_in_the_order_of_the_record():
    taken, replies = recorded(MV["MV-9"], MV["MV-5"], MV["MV-9"])
    adapter = make_adapter()
    adapter.filters.add(Replay(taken))
    assert [exchange(adapter, MV["MV-9"]) for _ in range(3)] == [replies[0], replies[2], replies[2]]
    pointers = bytearray(MV["MV-9"])
    pointers[88 + 48 : 88 + 144] = b"\xa5" * 96
    assert exchange(adapter, bytes(pointers)) == replies[2]
    assert exchange(adapter, MV["MV-7"]) == MV["MV-8"]  # never recorded: the card's own answer


def test_a_record_on_a_full_disk_can_be_replayed(tmp_path, monkeypatch):
    path = tmp_path / "record"
    exchanges, _ = recorded(MV["MV-5"])
    write = write_exchange(path)
    write(exchanges[0])
    written = os.write

    def full(handle, data):
        if len(data) > 10:
            return written(handle, data[:10])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(OSError, match="No space left"):
            write(exchanges[0])
    write(exchanges[0])
    assert read_exchanges(path) == [exchanges[0]] * 2
