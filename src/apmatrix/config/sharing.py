"""Queues that two LPARs, or two guests of one host, ask for."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

from apmatrix.arch import NO_BITS, Apqn, Mask, Matrix
from apmatrix.arch.matrix import listed
from apmatrix.config.findings import MOST_APQNS, Severity, dotted

if TYPE_CHECKING:
    from apmatrix.config.places import Path
    from apmatrix.config.reader import Reader


Shared = list[tuple[int, Mask]]
"""APQNs: adapters, each with domains."""


@dataclass(frozen=True)
class Words:
    """What a finding about a shared queue says.

    ``refused`` is about a claim that shares a queue with an accepted one, ``pending`` about one that shares it with a
    claim that is refused itself. Each may have ``{apqns}``, ``{are}``, ``{holder}`` and ``{name}``.
    """

    refused: str
    pending: str
    remedy: str


class FirstClaims:
    """The first claim to each queue: for each adapter, the holders with their domains, which do not overlap."""

    def __init__(self) -> None:
        self._rows: dict[int, list[tuple[str, Mask]]] = {}
        self._taken: dict[int, Mask] = {}

    def add(self, name: str, wanted: Matrix) -> None:
        """Let ``name`` have the queues of ``wanted`` that nobody claimed before."""
        for adapter in wanted.apm:
            taken = self._taken.get(adapter, NO_BITS)
            if new := wanted.aqm - taken:
                self._rows.setdefault(adapter, []).append((name, new))
                self._taken[adapter] = taken | new

    def shared(self, wanted: Matrix) -> dict[str, Shared]:
        """The holders of queues of ``wanted``, each with adapters and the domains on them."""
        found: dict[str, Shared] = {}
        for adapter in wanted.apm:
            if self._taken.get(adapter, NO_BITS).overlaps(wanted.aqm):
                for name, domains in self._rows[adapter]:
                    if domains.overlaps(wanted.aqm):
                        found.setdefault(name, []).append((adapter, domains & wanted.aqm))
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
    accepted: FirstClaims = field(default_factory=FirstClaims)
    fallen: FirstClaims = field(default_factory=FirstClaims)

    def claim(self, name: str, wanted: Matrix, path: Path) -> None:
        """Add the claim of ``name``, and record each conflict with an earlier claim."""
        if refusing := self.accepted.shared(wanted):
            self.fallen.add(name, wanted)
            for holder, shared in refusing.items():
                message, apqns = self._message(self.words.refused, name, holder, shared)
                refuses = [dotted(path)]
                self.reader.note(Severity.REFUSED, path, message, self.words.remedy, apqns=apqns, refuses=refuses)
            return
        for holder, shared in list(self.fallen.shared(wanted).items())[:1]:
            message, apqns = self._message(self.words.pending, name, holder, shared)
            self.reader.note(Severity.WARNING, path, message, apqns=apqns)
        self.accepted.add(name, wanted)

    @staticmethod
    def _message(form: str, name: str, holder: str, shared: Shared) -> tuple[str, list[Apqn]]:
        apqns, text, count = named(shared)
        return form.format(apqns=text, are="is" if count == 1 else "are", holder=holder, name=name), apqns


def named(shared: Shared) -> tuple[list[Apqn], str, int]:
    """The APQNs for a finding, of many the first ones; their names in a sentence, and their number."""
    count = sum(len(domains) for _, domains in shared)
    apqns = list(islice((Apqn(adapter, domain) for adapter, domains in shared for domain in domains), MOST_APQNS))
    return apqns, listed(apqns, count=count), count
