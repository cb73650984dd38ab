"""The rules against what a real Linux 7.2.13 kernel answered: no emulator has a part in these tests.

Before most writes of the recordings there is a snapshot of the system. From the snapshot and the rules alone follows
how the kernel answers the write, and what the guest matrix of the mdev is afterwards.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from apmatrix.arch import Apqn, Mask, Matrix
from apmatrix.rules import handover, ownership, text
from apmatrix.rules.access import HostState, may_have
from apmatrix.rules.claims import Claims
from apmatrix.rules.ownership import Ownership
from apmatrix.rules.refusals import BadValue, Refused
from support.snapshots import RECORDINGS, Snapshot, recorded_lines
from support.sysops import unescape

if TYPE_CHECKING:
    from pathlib import Path

HOST = Matrix(Mask.of(4, 5, 6, 10), Mask.of(4, 0x47, 0xAB, 0xFF), Mask.of(4, 0x10, 0x47, 0xAB, 0xFF))  # machine.toml
LIMIT = 255
MDEV = re.compile(r"devices/vfio_ap/matrix/([0-9a-f-]{36})/(assign_adapter|assign_domain|ap_config)")
OVERRIDE = re.compile(r"(?:bus/ap/devices|devices/ap/card[0-9a-f]{2})/([0-9a-f]{2}\.[0-9a-f]{4})/driver_override")


class Paper:
    """Answers writes from a snapshot by the rules alone; ``overrides`` are those that were written."""

    def __init__(self, state: Snapshot, overrides: dict[Apqn, str]) -> None:
        self.state = state
        bound = {apqn: driver for apqn, driver in state.drivers.items() if apqn in overrides and driver}
        hosts = {apqn: driver == ownership.HOST_DRIVER for apqn, driver in bound.items()}
        self.ownership = Ownership(state.masks, hosts)
        self.overrides = overrides
        self.claims: Claims[str] = Claims()
        for uuid, matrix in state.assigned.items():
            self.claims.set(uuid, matrix)

    def assign(self, uuid: str, name: str, content: str) -> tuple[str, Matrix]:
        """The answer to a write to an mdev's attribute, and its matrix afterwards."""
        before = self.state.assigned[uuid]
        try:
            after = self._wanted(before, name, content)
        except Refused as refused:
            return {"TooLarge": "ERANGE"}.get(type(refused).__name__, "EINVAL"), before
        if after is None:
            return "ENODEV", before
        if after == before and name != "ap_config":
            return "ok", before
        if self.ownership.host_queues(after):
            return "EADDRNOTAVAIL", before
        return ("EADDRINUSE", before) if self.claims.conflicts(after, uuid) else ("ok", after)

    @staticmethod
    def _wanted(before: Matrix, name: str, content: str) -> Matrix | None:
        if name == "ap_config":
            return text.parse_ap_config(content)
        number = text.strict_number(content)
        if number > LIMIT:
            return None
        bit = Mask.of(number)
        return before | (Matrix(apm=bit) if name == "assign_adapter" else Matrix(aqm=bit))

    def mask(self, name: str, content: str) -> str:
        """The answer to a write to apmask or aqmask."""
        if self.overrides:
            return "EINVAL"
        before = getattr(self.state.masks, name)
        try:
            after = text.written_mask(content, before)
        except BadValue:
            return "EINVAL"
        wanted = ownership.newly_reserved(self.state.masks, self.state.masks._replace(**{name: after}))
        return "EBUSY" if any(self.claims.conflicts(matrix) for matrix in wanted) else "ok"

    def host_state(self, uuid: str, assigned: Matrix) -> HostState[str]:
        """What decides about queues once ``assigned`` is given to an mdev."""
        state = self.state
        return HostState(HOST, state.masks, state.drivers, {**state.assigned, uuid: assigned}, self.overrides)


def text_of(guest: Matrix) -> str:
    return text.matrix_text(guest, 4095)


class Comparison:
    """Walks through a recording; ``agreed`` counts the answers that were as the rules say."""

    def __init__(self, path: Path) -> None:
        self.agreed: Counter[str] = Counter()
        self.state: Snapshot | None = None  # while the last snapshot is up to date
        self.overrides: dict[Apqn, str] = {}
        self.expected: tuple[str, str, Matrix, Paper] | None = None  # what the next snapshot must show
        self.lines = recorded_lines(path)
        number = 0
        while number < len(self.lines):
            line, number = self.lines[number], number + 1
            self.place = f"{path.name}:{number}: {line}"
            if line == "S":
                number = self.snapshot(number)
            elif line[:2] == "W ":
                _, file, content = (*line.split(" ", 2), "")[:3]
                if content:  # the kernel calls no attribute for an empty write
                    answer = self.lines[number].removeprefix("= ").split(" ")[0]
                    self.write(file, unescape(content).decode("latin-1").partition("\0")[0], answer)
            elif line[:2] in ("G ", "g "):
                self.state = self.expected = None

    def snapshot(self, start: int) -> int:
        self.state, end = Snapshot.read(self.lines, start)
        if self.expected:
            uuid, kind, matrix, paper = self.expected
            check_guest(paper, uuid, matrix, self.state, self.place)
            self.agreed[f"guest matrix after {kind}"] += 1
        self.expected = None
        return end

    def write(self, file: str, written: str, answer: str) -> None:
        state, accepted = self.state, answer == "ok"
        if accepted:
            self.state = self.expected = None
        if state and (found := MDEV.fullmatch(file)) and found[1] in state.assigned:
            uuid, kind = found.groups()
            paper = Paper(state, self.overrides)
            predicted, matrix = paper.assign(uuid, kind, written)
            assert answer == predicted, self.place
            self.agreed[f"{kind} {answer}"] += 1
            if accepted and matrix != state.assigned[uuid]:
                self.expected = (uuid, kind, matrix, paper)
        elif state and file in ("bus/ap/apmask", "bus/ap/aqmask"):
            assert answer == Paper(state, self.overrides).mask(file.rpartition("/")[2], written), self.place
            self.agreed[f"mask {answer}"] += 1
        elif accepted and (found := OVERRIDE.fullmatch(file)):
            queue, driver = Apqn.parse(found[1]), written.partition("\n")[0]
            others = {apqn: name for apqn, name in self.overrides.items() if apqn != queue}
            self.overrides = {**others, queue: driver} if driver else others


def check_guest(paper: Paper, uuid: str, assigned: Matrix, after: Snapshot, place: str) -> None:
    """The filter's result, as a whole and for each queue by itself."""
    state = paper.host_state(uuid, assigned)
    lost = Mask.of(*handover.obstacles(assigned, HOST, state.reset_code))
    guest = handover.usable(assigned, HOST, lost)
    assert after.guest[uuid] == text_of(guest), place
    for apqn in assigned.apqns():
        if not paper.ownership.is_hosts(apqn):
            assert may_have(state, uuid, apqn) == (apqn in guest), (place, apqn)


@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.name)
def test_MTX20_MTX21_MTX46_MTX50_BUS33_BUS34_as_recorded(path):
    agreed = Comparison(path).agreed
    kinds = (
        "assign_adapter ok",
        "assign_adapter EADDRNOTAVAIL",
        "assign_domain ok",
        "ap_config ok",
        "ap_config EINVAL",
    )
    assert all(agreed[kind] > 3 for kind in (*kinds, "mask ok", "mask EBUSY", "guest matrix after ap_config")), agreed
    assert any(kind.endswith("EADDRINUSE") for kind in agreed), agreed
