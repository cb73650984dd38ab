import errno
import os
from io import BufferedReader, BytesIO, FileIO

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


def content(file):
    file.seek(0)
    with BufferedReader(file) as reader:
        return read_exchanges(reader, "record")


def test_file_there_and_back(tmp_path):
    taken, _ = recorded(MV["MV-5"], MV["MV-9"])
    with FileIO(tmp_path / "record", "xb+") as file:
        write = write_exchange(file)
        for item in taken:
            write(item)
        assert content(file) == taken


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "line 1"),
        ('{"time": 1}', "line 1: this is not a recorded exchange"),
        ('{"time":0,"apqn":"5","message_id":1,"special":false,"message":"","reply":""}', "not an APQN"),
        ('{"time":0,"apqn":"05.0006","message_id":1,"special":false,"message":"x","reply":""}', "line 1"),
    ],
)
def test_damaged_file(content, message):
    with pytest.raises(RecordingError, match=message):
        read_exchanges(BytesIO(content.encode()), "record")


def test_a_line_without_an_end_is_not_read_as_a_whole(tmp_path):
    """A sparse file of a terabyte must not fill the machine's memory."""
    path = tmp_path / "record"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    with path.open("rb") as file, pytest.raises(RecordingError, match="record, line 1: this is not a recorded"):
        read_exchanges(file, "record")


def test_nothing_is_taken_once_the_record_has_ended():
    taken: list[Exchange] = []
    adapter = make_adapter()
    recorder = Recorder(taken.append)
    adapter.filters.add(recorder)
    recorder.end()
    assert exchange(adapter, MV["MV-5"]) == MV["MV-6"]
    assert not taken


def test_replay_answers_in_the_order_of_the_record():
    taken, replies = recorded(MV["MV-9"], MV["MV-5"], MV["MV-9"])
    adapter = make_adapter()
    adapter.filters.add(Replay(taken))
    assert [exchange(adapter, MV["MV-9"]) for _ in range(3)] == [replies[0], replies[2], replies[2]]
    pointers = bytearray(MV["MV-9"])
    pointers[88 + 48 : 88 + 144] = b"\xa5" * 96
    assert exchange(adapter, bytes(pointers)) == replies[2]
    assert exchange(adapter, MV["MV-7"]) == MV["MV-8"]  # never recorded: the card's own answer


class FillingDisk(FileIO):
    """A file on a disk that has room for some more bytes."""

    room = 1 << 20

    def write(self, data):
        if not self.room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = super().write(data[: self.room])
        self.room -= written
        return written


def test_a_record_on_a_full_disk_can_be_replayed(tmp_path):
    exchanges, _ = recorded(MV["MV-5"])
    with FillingDisk(tmp_path / "record", "xb+") as file:
        write = write_exchange(file)
        write(exchanges[0])
        file.room = 10
        with pytest.raises(OSError, match="No space left"):
            write(exchanges[0])
        file.room = 1 << 20
        write(exchanges[0])
        assert content(file) == [exchanges[0]] * 2
