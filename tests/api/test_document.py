"""The programs in the documents run, and print what the documents show."""

import pytest

from support.documents import ROOT, programs, run_program


@pytest.mark.parametrize("story", [pytest.param(story, id=story[0].name) for story in programs(mounted=False)])
def test_programs_in_the_documents(story, monkeypatch):
    monkeypatch.chdir(ROOT)
    run_program(story)


def test_there_are_programs():
    assert len([block for story in programs(mounted=False) for block in story]) >= 10
