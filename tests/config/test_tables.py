"""Tables that a program made are read as those of a file."""

import tomllib
from pathlib import Path

import pytest

from apmatrix.config import ConfigError, load, parse, read_tables

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.toml")), ids=lambda path: path.stem)
def test_tables_mean_what_the_file_with_them_means(path):
    file = load(path, allow_refused=True)
    made = read_tables(tomllib.loads(path.read_text()), str(path), allow_refused=True)
    assert (made.machine, made.adapters, made.lpars) == (file.machine, file.adapters, file.lpars)
    assert [(found.severity, found.path, found.text) for found in made.findings] == [
        (found.severity, found.path, found.text) for found in file.findings
    ]
    assert {found.line for found in made.findings} <= {None}


def test_findings_name_the_table_without_a_line():
    with pytest.raises(ConfigError) as caught:
        read_tables({"adapter": [{"id": 300, "type": "CEX8A"}], "lpar": [{"name": "a"}]}, "cpc1")
    assert str(caught.value) == "cpc1: adapter[0].id: 300 is outside 0-255"


@pytest.mark.parametrize("read", [lambda text, **more: parse(text, "f", **more), None])
def test_what_the_machine_will_refuse_can_be_let_through(read):
    text = (EXAMPLES / "invalid-shared-queue.toml").read_text()
    read = read or (lambda text, **more: read_tables(tomllib.loads(text), "f", **more))
    assert len(read(text, allow_refused=True).findings) == 1
    with pytest.raises(ConfigError, match=r"01\.0006 is already assigned"):
        read(text, allow_refused=False)
