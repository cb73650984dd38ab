"""``apmatrix rule``: the text of the rules, vectors and sections that ``explain``, docstrings and tests cite."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Final

import click

from apmatrix.cli.documents import json_option, print_document
from apmatrix.cli.folding import width_of
from apmatrix.rules.reference import reference

if TYPE_CHECKING:
    from apmatrix.rules.reference import Passage

_WITHIN_A_SENTENCE: Final = re.compile(r"(?<![\n.:;|`])\n(?=[A-Za-z(']+[ ,)])")
"""The end of a line of prose after which its sentence goes on; tables, lists and listings have their own."""


@click.command()
@click.argument("names", metavar="[NAME]...", nargs=-1)
@json_option
def rule(names: tuple[str, ...], as_json: bool) -> None:
    """Print the rules, test vectors or sections of the reference called NAME; without NAME, list its chapters.

    A rule has an ID such as MTX-21; explain, docstrings and tests cite it. Vectors are V46, I59, K7 or MV-5. A
    section is a document and a number; without the document, the number is looked up in both. Case does not matter.

    \b
      apmatrix rule
      apmatrix rule MTX-21 BUS-34
      apmatrix rule hardware.md 7.2
    """
    if names:
        found = reference().look_up(names)
        if as_json:
            print_document({"passages": found, "groups": [], "sections": []})
        else:
            narrow = width_of(sys.stdout) is not None
            _print("\n\n".join(_printed(passage, narrow=narrow) for passage in found))
    elif as_json:
        sections = [
            {"document": chapter.document, "section": chapter.section, "title": chapter.title}
            for chapter in reference().chapters()
        ]
        print_document({"passages": [], "groups": [*reference().groups()], "sections": sections})
    else:
        _list()


def _print(text: str) -> None:
    from apmatrix.cli.tables import print_text  # noqa: PLC0415 - slow

    print_text(text)


def _printed(passage: Passage, *, narrow: bool) -> str:
    """A passage with its heading; where it is folded, lines that end within a sentence are joined before."""
    place = f"{passage.document} {passage.section}, {passage.title}"
    head = place if passage.is_section else f"{passage.name} ({place})"
    return f"{head}\n\n{_WITHIN_A_SENTENCE.sub(' ', passage.text) if narrow else passage.text}"


def _list() -> None:
    from apmatrix.cli.tables import Column, print_table  # noqa: PLC0415 - slow

    groups = [
        (f"{group.rules[0]} to {group.rules[-1].partition('-')[2]}", group.title, f"{group.document} {group.section}")
        for group in reference().groups()
    ]
    print_table((Column("rules"), Column("about", prose=True), Column("where")), groups)
    click.echo()
    chapters = [(chapter.name, chapter.title) for chapter in reference().chapters()]
    print_table((Column("section"), Column("about", prose=True)), chapters)
