"""Small words of findings."""

from apmatrix.config import counted


def test_counted():
    assert [counted(number, "queue") for number in (0, 1, 2)] == ["0 queues", "1 queue", "2 queues"]
