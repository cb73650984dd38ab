"""Small words of findings."""

from apmatrix.arch import Apqn
from apmatrix.config import counted, listed


def test_counted():
    assert [counted(number, "queue") for number in (0, 1, 2)] == ["0 queues", "1 queue", "2 queues"]


def test_listed_shows_six_and_counts_the_rest():
    apqns = [Apqn(5, domain) for domain in range(9)]
    assert listed(apqns[:2]) == "05.0000, 05.0001"
    assert listed(apqns[:6]).endswith("05.0005")
    assert listed(apqns) == "05.0000, 05.0001, 05.0002, 05.0003, 05.0004, 05.0005 and 3 more"
    assert listed([]) == ""
