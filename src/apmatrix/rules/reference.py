"""The written reference: the text of a rule, a vector or a section, by the name that docstrings and `explain` cite.

Two documents define what the emulator and the administrator follow: ``host.md`` (Linux) and ``hardware.md`` (the AP
architecture and the cards). Names are

* rules, ``MTX-21``, or one part of a rule, ``MTX-21a``;
* test vectors: ``V46`` (host.md 8), ``I59``, ``K7`` and ``MV-5`` (hardware.md 8.1 to 8.3);
* sections, ``hardware.md 7.2``, or ``7.2`` in every document that has it.
"""

from __future__ import annotations

import difflib
import functools
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from apmatrix.arch import ApmatrixError
from apmatrix.rules.shipped import shipped

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

DOCUMENTS = ("host.md", "hardware.md")

_HEADING = re.compile(r"^(#{2,3}) (?:(\d+(?:\.\d+)?)\.? )?(.+)\n", re.MULTILINE)
_RULER = re.compile(r"^-{3,}\n", re.MULTILINE)
_RULE = re.compile(r"^(?P<name>[A-Z]+-\d+)(?: +|$)(?P<text>.*?)(?=^[A-Z]+-\d+(?: |$)|\Z)", re.MULTILINE | re.DOTALL)
_MESSAGE = re.compile(r"^\*\*(?P<name>MV-\d+) (?P<text>.*?)(?=^\*\*MV-|\Z)", re.MULTILINE | re.DOTALL)
_TABLE = re.compile(r"^(\|.*\n\|[-|]+\n)((?:\|.*\n)+)", re.MULTILINE)
_ROW = re.compile(r"\| (K?\d+) \|.*\n")
_INDENT = re.compile(r"^  ", re.MULTILINE)
_PART = re.compile(r"([A-Z]+-\d+)([A-Z])")
_NUMBER = re.compile(r"\d+(\.\d+)?")
_NUMBERED = re.compile(r"([A-Z]+-?)(\d+)")
_LONGEST_NUMBER = 9
_VECTORS = {("host.md", "8"): "V", ("hardware.md", "8.1"): "I"}
"""Vectors in the tables of these sections have bare numbers; tests put the letter before them."""


class UnknownRule(ApmatrixError):
    """The reference has no passage of this name; ``str()`` names the nearest ones."""


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of the reference: its name, the document and the section where it is, its Markdown text."""

    name: str
    document: str
    section: str
    title: str
    text: str

    @property
    def is_section(self) -> bool:
        """True for a whole section, false for a rule or a vector."""
        return self.name.startswith(self.document)

    @property
    def group(self) -> str:
        """``MTX`` of ``MTX-21``; empty for sections and for vectors in tables."""
        return self.name.partition("-")[0] if "-" in self.name else ""


@dataclass(frozen=True, slots=True)
class Group:
    """Rules whose IDs begin alike; ``title`` is the heading of the section that has them all."""

    name: str
    document: str
    section: str
    title: str
    rules: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Reference:
    """The passages of both documents, by name, in the order of the text."""

    passages: Mapping[str, Passage]

    def look_up(self, words: Iterable[str]) -> tuple[Passage, ...]:
        """The passages that the words of a command line name, in any case: ``mtx-21``, ``hardware.md 7.2``, ``7.2``.

        A section number counts in the document named before it, or else in both. Raises UnknownRule.
        """
        found: list[Passage] = []
        documents: tuple[str, ...] = DOCUMENTS
        names = " ".join(words).split()
        for word in names:
            if word.lower() in DOCUMENTS:
                documents = (word.lower(),)
            elif _NUMBER.fullmatch(word):
                found += self._sections(word, documents)
            else:
                found.append(self._passage(word))
                documents = DOCUMENTS
        if names and names[-1].lower() in DOCUMENTS:
            raise UnknownRule(f"{documents[0]} needs the number of a section, such as {documents[0]} 1.4")
        return tuple(found)

    def groups(self) -> Iterator[Group]:
        """The groups of rules."""
        rules: dict[str, list[Passage]] = {}
        for passage in self.passages.values():
            if passage.group:
                rules.setdefault(passage.group, []).append(passage)
        for name, members in rules.items():
            document, section = members[0].document, members[0].section
            if any(rule.section != section for rule in members):
                section = section.partition(".")[0]
            title = self.passages[f"{document} {section}"].title
            yield Group(name, document, section, title, tuple(rule.name for rule in members))

    def chapters(self) -> Iterator[Passage]:
        """The sections of the top level."""
        return (passage for passage in self.passages.values() if passage.is_section and "." not in passage.section)

    def _sections(self, number: str, documents: tuple[str, ...]) -> list[Passage]:
        names = [f"{document} {number}" for document in documents]
        found = [self.passages[name] for name in names if name in self.passages]
        if not found:
            raise self._unknown(names[0])
        return found

    def _passage(self, word: str) -> Passage:
        if passage := self.passages.get(word.upper()):
            return passage
        part = _PART.fullmatch(word.upper())
        if part and (rule := self.passages.get(part[1])):
            if f"({part[2].lower()})" not in rule.text:
                raise UnknownRule(f"{rule.name} has no part ({part[2].lower()})")
            return rule
        raise self._unknown(word)

    def _unknown(self, name: str) -> UnknownRule:
        numbered = _NUMBERED.fullmatch(name.upper())
        near = []
        if numbered and len(numbered[2]) <= _LONGEST_NUMBER:
            alike = (found for other in self.passages if (found := _NUMBERED.fullmatch(other)) is not None)
            own = [(abs(int(other[2]) - int(numbered[2])), other[0]) for other in alike if other[1] == numbered[1]]
            near = [other for _, other in sorted(own)]
        names = {other.lower(): other for other in self.passages}
        near = near or [names[other] for other in difflib.get_close_matches(name.lower(), names)]
        remedy = f"the nearest are {', '.join(near[:3])}" if near else "apmatrix rule lists what it has"
        return UnknownRule(f"the reference has no {name}: {remedy}")


def parse(document: str, text: str) -> Iterator[Passage]:
    """The passages of one document: sections with all that is below them, the rules and the vectors in them."""
    text = _RULER.sub("", text)
    headings = list(_HEADING.finditer(text))
    for place, heading in enumerate(headings):
        depth, number, title = heading.groups()
        if number:
            after = headings[place + 1 :]
            end = next((other.start() for other in after if len(other[1]) <= len(depth)), len(text))
            yield Passage(f"{document} {number}", document, number, title, text[heading.end() : end].strip())
            own = text[heading.end() : after[0].start() if after else len(text)]
            for name, body in (*_rules(own), *_vectors(own, document, number)):
                yield Passage(name, document, number, title, body.strip())


def _rules(section: str) -> Iterator[tuple[str, str]]:
    """The rules and message vectors of a section: the ID, and the text without it."""
    for rule in _RULE.finditer(section):
        first, _, rest = rule["text"].partition("\n")
        yield rule["name"], f"{first}\n{_INDENT.sub('', rest)}"
    for message in _MESSAGE.finditer(section):
        yield message["name"], f"**{message['text']}"


def _vectors(section: str, document: str, number: str) -> Iterator[tuple[str, str]]:
    """The vectors in the tables of a section: the name, and the row below the heads of its columns."""
    letter = _VECTORS.get((document, number)) or _VECTORS.get((document, number.partition(".")[0]), "")
    for head, rows in _TABLE.findall(section):
        for row in _ROW.finditer(rows):
            name = letter + row[1]
            if name[0].isalpha():
                yield name, head + row[0]


@functools.cache
def reference() -> Reference:
    """The reference that comes with the package; in a checkout, the one in its ``docs``."""
    folder = shipped("reference", "docs/reference")
    texts = ((name, folder.joinpath(name).read_text(encoding="utf-8")) for name in DOCUMENTS)
    return Reference({passage.name: passage for name, text in texts for passage in parse(name, text)})
