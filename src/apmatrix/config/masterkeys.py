"""Checks of ``[[master_key]]``: which cards can have such keys, and each register once. Part files are not read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from apmatrix.arch import SETS_OF, Mask, Matrix
from apmatrix.config.beyond import copied, possible
from apmatrix.config.findings import dotted
from apmatrix.config.sharing import FirstClaims, named
from apmatrix.rules.findings import Severity
from apmatrix.rules.keyparts import wrong_count

if TYPE_CHECKING:
    from apmatrix.arch import CardType, KeySet
    from apmatrix.config.places import Path
    from apmatrix.config.reader import Reader
    from apmatrix.config.schema import FileTables, MasterKeyFile


class MasterKeys:
    """The master keys of a file, and the cards that are to have them."""

    def __init__(self, file: FileTables, reader: Reader) -> None:
        self._file = file
        self._reader = reader
        self._types = {number: adapter.type for adapter in file.adapters for number in adapter.numbers}
        self._claims: dict[KeySet, FirstClaims[str]] = {}

    def check(self) -> None:
        """Record everything that is wrong with them."""
        for index, entry in enumerate(self._file.master_keys):
            path: Path = ("master_key", index)
            self._source(entry, path)
            self._cards(entry, path)
            limits = self._file.machine.limits
            possible(entry.domains - limits.aqm, "domain", Severity.ERROR, (*path, "domains"), self._reader)
            self._once(entry, path)

    def _source(self, entry: MasterKeyFile, path: Path) -> None:
        if (entry.key is None) == (not entry.parts):
            text = "a master key is either random or made of parts"
            self._error(path, text, "write one of key = 'random' and parts = ['part1', 'part2']")
        elif entry.parts and (wrong := wrong_count(entry.key_set, len(entry.parts))):
            self._error((*path, "parts"), wrong, "name a file for each part")

    def _cards(self, entry: MasterKeyFile, path: Path) -> None:
        place = (*path, "adapters")
        present = Mask.of(*self._types)
        if missing := entry.adapters - present:
            remedy = copied(missing, "adapter", present) or "take it out, or describe the card with [[adapter]]"
            self._error(place, f"the machine has no adapter {missing.ranges()}", remedy)
        unfit: dict[CardType, list[int]] = {}
        for number in entry.adapters & present:
            if self._types[number].mode is not entry.key_set.mode:
                unfit.setdefault(self._types[number], []).append(number)
        for card_type, numbers in unfit.items():
            adapters = f"adapter {Mask.of(*numbers).ranges()}"
            if sets := ", ".join(each.label for each in SETS_OF[card_type.mode]):
                text = f"{adapters} is a {card_type}: it has no {entry.set} master key, but {sets}"
                self._error(place, text, "take it out, or write another set")
            else:
                self._error(place, f"{adapters} is a {card_type}, which has no master keys", "take it out")

    def _once(self, entry: MasterKeyFile, path: Path) -> None:
        """Each register gets one key; a finding for each earlier entry that has the same one."""
        claims = self._claims.setdefault(entry.key_set, FirstClaims[str]())
        wanted = Matrix(entry.adapters, entry.domains)
        for holder, shared in claims.shared(wanted).items():
            apqns, text, _ = named(shared)
            message = f"{text}: the {entry.set} key is already given at {holder}"
            remedy = "take the adapter or the domain out of one of the two"
            self._reader.note(Severity.ERROR, path, message, remedy, apqns=apqns)
        line = self._reader.places.line(path)
        claims.add(f"line {line}" if line else dotted(path), wanted)

    def _error(self, path: Path, message: str, remedy: str) -> None:
        self._reader.note(Severity.ERROR, path, message, remedy)
