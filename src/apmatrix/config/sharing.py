"""Queues that two LPARs, or two guests of one host, ask for."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Generic, TypeVar

from apmatrix.arch import NO_BITS, Apqn, Mask, Matrix
from apmatrix.arch.matrix import listed
from apmatrix.config.findings import dotted
from apmatrix.rules.findings import MOST_APQNS, Severity

if TYPE_CHECKING:
    from apmatrix.config.places import Path
    from apmatrix.config.reader import Reader
    from apmatrix.rules.findings import Holder


H = TypeVar("H")

Shared = list[tuple[int, Mask]]
"""APQNs: adapters, each with domains."""


@dataclass(frozen=True)
class Words:
    """What a finding about a shared queue says.

    ``refused`` is about a claim that shares a queue with an accepted one, ``pending`` about one that shares it with a
    claim that is refused itself. Each may have ``{apqns}``, ``{are}``, ``{holder}`` and ``{name}``. ``rule`` refuses,
    and ``errno`` is what a kernel answers, if one is asked.
    """

    refused: str
    pending: str
    remedy: str
    rule: str
    errno: str = ""


class FirstClaims(Generic[H]):
    """The first claim to each queue: for each adapter, the holders with their domains, which do not overlap."""

    def __init__(self) -> None:
        self._rows: dict[int, list[tuple[H, Mask]]] = {}
        self._taken: dict[int, Mask] = {}

    def add(self, holder: H, wanted: Matrix) -> None:
        """Let ``holder`` have the queues of ``wanted`` that nobody claimed before."""
        for adapter in wanted.apm:
            taken = self._taken.get(adapter, NO_BITS)
            if new := wanted.aqm - taken:
                self._rows.setdefault(adapter, []).append((holder, new))
                self._taken[adapter] = taken | new

    def shared(self, wanted: Matrix) -> dict[H, Shared]:
        """The holders of queues of ``wanted``, each with adapters and the domains on them."""
        found: dict[H, Shared] = {}
        for adapter in wanted.apm:
            if self._taken.get(adapter, NO_BITS).overlaps(wanted.aqm):
                for holder, domains in self._rows[adapter]:
                    if domains.overlaps(wanted.aqm):
                        found.setdefault(holder, []).append((adapter, domains & wanted.aqm))
        return found


@dataclass
class Exclusive:
    """Claims that must not share a queue, in the order of the file.

    A claim that shares queues with accepted ones is refused, with a finding for each of those. What refused claims
    would have had is kept apart: sharing only that is a warning, with the first of them. The cost of a claim depends
    on its adapters and the claims that it shares queues with, not on the number of claims.
    """

    reader: Reader
    words: Words
    accepted: FirstClaims[Holder] = field(default_factory=FirstClaims)
    fallen: FirstClaims[Holder] = field(default_factory=FirstClaims)

    def claim(self, claimant: Holder, wanted: Matrix, path: Path) -> None:
        """Add a claim, and record each conflict with an earlier one."""
        words = self.words
        if refusing := self.accepted.shared(wanted):
            self.fallen.add(claimant, wanted)
            for holder, shared in refusing.items():
                message, apqns = self._message(words.refused, claimant, holder, shared)
                self.reader.note(
                    Severity.REFUSED,
                    path,
                    message,
                    words.remedy,
                    apqns=apqns,
                    refuses=[dotted(path)],
                    holders=[holder],
                    rule=words.rule,
                    errno=words.errno,
                )
            return
        for holder, shared in list(self.fallen.shared(wanted).items())[:1]:
            message, apqns = self._message(words.pending, claimant, holder, shared)
            self.reader.note(Severity.WARNING, path, message, apqns=apqns, holders=[holder], rule=words.rule)
        self.accepted.add(claimant, wanted)

    @staticmethod
    def _message(form: str, claimant: Holder, holder: Holder, shared: Shared) -> tuple[str, list[Apqn]]:
        """The sentence, in which names are those of the tables, not the full ones."""
        name, other = (each.name.rpartition("/")[2] for each in (claimant, holder))
        apqns, text, count = named(shared)
        return form.format(apqns=text, are="is" if count == 1 else "are", holder=other, name=name), apqns


def named(shared: Shared) -> tuple[list[Apqn], str, int]:
    """The APQNs for a finding, of many the first ones; their names in a sentence, and their number."""
    count = sum(len(domains) for _, domains in shared)
    apqns = list(islice((Apqn(adapter, domain) for adapter, domains in shared for domain in domains), MOST_APQNS))
    return apqns, listed(apqns, count=count), count
