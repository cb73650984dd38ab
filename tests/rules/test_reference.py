"""The written reference: what can be looked up in it, and that everything cited in the code is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from apmatrix.rules.reference import DOCUMENTS, UnknownRule, parse, reference
from support.documents import DOCUMENTS as PAGES
from support.documents import ROOT

SOURCES = sorted(
    path for room in ("src", "tests", "benchmarks") for path in (ROOT / room).rglob("*.py") if path != Path(__file__)
)
CITED = re.compile(r"\b([A-Z]{2,5})-(\d+[a-z]?)\b")
CITED_SECTIONS = re.compile(
    r"\b(host\.md|hardware\.md),? (?:sections? )?(\d+(?:\.\d+)?(?:(?:, | and | to )\d+(?:\.\d+)?)*)"
)
NOT_RULES = {"AES", "BP", "PKCS", "RSA", "SHA", "UTF"}
"""What else is written like the group of a rule."""

SAMPLE = """# A document

BUS-9 is in the preamble, which has no rules.

## 1. First chapter

### 1.2 Some rules
BUS-1  One line.
BUS-2 Two lines, the second
  set in.

| name | mode |
|---|---|
| 7 | RO |

BUS-3

-----------
## Sources
BUS-4 is no rule either.
"""


@pytest.mark.parametrize(
    ("name", "document", "section", "begins", "ends"),
    [
        ("MTX-21", "host.md", "3.4", "Validate over the whole resulting matrix", "the code gives EADDRINUSE."),
        ("BUS-10", "host.md", "1.2", "| name | mode | read | write |", "not a live query."),
        ("KVM-43", "host.md", "6.4", "Format table", "always presented as format 2."),
        ("MTX-93", "host.md", "3.13", "The number of queues bound", "leaves the queues unbound."),
        ("MV-2", "hardware.md", "8.3", "**type 80 reply to MV-1", "```"),
        ("V46", "host.md", "8.4", "| V | action | expected |", "names 05.0004 and U1; U2 unchanged |"),
        ("I3", "hardware.md", "8.1", "| # | state before |", "(type and depth only) |"),
        ("K7", "hardware.md", "8.2", "| # | situation | expected |", "ICARSAMODEXPO | EPERM |"),
        ("hardware.md 7.2", "hardware.md", "7.2", "At each level: effective mask", "or its next scan."),
        ("host.md 6", "host.md", "6", "### 6.1 Control block", "independent of AP."),
    ],
)
def test_passages_begin_and_end_where_they_should(name, document, section, begins, ends):
    (passage,) = reference().look_up([name])
    assert (passage.name, passage.document, passage.section) == (name, document, section)
    assert passage.text.startswith(begins)
    assert passage.text.endswith(ends)


def test_rules_are_parted_and_set_out():
    found = {passage.name: passage for passage in parse("some.md", SAMPLE)}
    assert list(found) == ["some.md 1", "some.md 1.2", "BUS-1", "BUS-2", "BUS-3"]
    assert found["BUS-1"].text == "One line."
    assert found["BUS-2"].text == "Two lines, the second\nset in.\n\n| name | mode |\n|---|---|\n| 7 | RO |"
    assert found["BUS-3"].text == ""
    assert found["BUS-3"].title == "Some rules"


def test_no_name_is_used_twice():
    names = [
        passage.name
        for document in DOCUMENTS
        for passage in parse(document, (ROOT / "docs" / "reference" / document).read_text())
    ]
    assert len(names) == len(set(names)) == len(reference().passages)


def test_vectors_are_numbered_without_gaps():
    for letter, last in (("V", 163), ("I", 85), ("K", 25)):
        numbers = [int(name[1:]) for name in reference().passages if re.fullmatch(rf"{letter}\d+", name)]
        assert sorted(numbers) == list(range(1, last + 1))


@pytest.mark.parametrize("words", [["mtx-21"], ["MTX-21a"], ["mtx-21B"]])
def test_case_does_not_matter_and_parts_are_in_their_rule(words):
    assert [passage.name for passage in reference().look_up(words)] == ["MTX-21"]


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (["hardware.md", "7.2"], ["hardware.md 7.2"]),
        (["Hardware.MD 1.1", "1.2"], ["hardware.md 1.1", "hardware.md 1.2"]),
        (["7.2"], ["hardware.md 7.2"]),
        (["1.4"], ["host.md 1.4", "hardware.md 1.4"]),
        (["hardware.md", "1.4", "BUS-1", "1.4"], ["hardware.md 1.4", "BUS-1", "host.md 1.4", "hardware.md 1.4"]),
    ],
)
def test_sections_are_of_the_document_named_before_them(words, names):
    assert [passage.name for passage in reference().look_up(words)] == names


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("MTX-24", "the reference has no MTX-24: the nearest are MTX-23, MTX-25, MTX-22"),
        ("mxt-21", "the reference has no mxt-21: the nearest are MTX-21, "),
        ("hardware.md 7.9", "the reference has no hardware.md 7.9: the nearest are hardware.md 7.4, "),
        ("MTX-21z", "MTX-21 has no part (z)"),
        ("12.9", "the reference has no host.md 12.9"),
        ("MTX-", "the reference has no MTX-"),
        ("nothing", "the reference has no nothing: apmatrix rule lists what it has"),
        ("BUS-1 host.md", "host.md needs the number of a section, such as host.md 1.4"),
    ],
)
def test_what_is_not_there_is_told_with_what_comes_near(name, sentence):
    with pytest.raises(UnknownRule) as error:
        reference().look_up([name])
    assert str(error.value).startswith(sentence)


def test_groups_have_the_heading_that_spans_them():
    groups = {group.name: (group.document, group.section, group.title) for group in reference().groups()}
    assert groups["MTX"] == ("host.md", "3", "vfio_ap")
    assert groups["MV"] == ("hardware.md", "8.3", "Message vectors")
    assert list(groups) == ["BUS", "DEV", "MTX", "CFG", "VFIO", "KVM", "TOOL", "MV"]


def cited(text: str) -> list[str]:
    """Each rule and section that a text names; of a range of sections the two ends."""
    rules = [f"{group}-{number}" for group, number in CITED.findall(text) if group not in NOT_RULES]
    return rules + [
        f"{document} {number}"
        for document, numbers in CITED_SECTIONS.findall(text)
        for number in re.split(", | and | to ", numbers)
    ]


def test_citations_are_recognized():
    text = (
        "Refused (MTX-21b, hardware.md 1.1 and 7.2; host.md sections 3.1 to 3.3): AES-256, see hardware.md section 5."
    )
    assert cited(text) == [
        "MTX-21b", "hardware.md 1.1", "hardware.md 7.2", "host.md 3.1", "host.md 3.3", "hardware.md 5"
    ]  # fmt: skip


@pytest.mark.parametrize("path", [pytest.param(path, id=str(path.relative_to(ROOT))) for path in [*SOURCES, *PAGES]])
def test_all_that_is_cited_is_in_the_reference(path: Path):
    for name in cited(path.read_text()):
        reference().look_up([name])
