"""What the package says of itself fits what is tried."""

import re
import tomllib

from support.documents import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PYTHON = "Programming Language :: Python :: 3."


def test_every_python_that_is_named_is_tried_by_the_forge():
    named = [
        name.removeprefix("Programming Language :: Python :: ") for name in PROJECT["classifiers"] if PYTHON in name
    ]
    forge = (ROOT / ".github/workflows/ci.yml").read_text()
    (tried,) = re.findall(r"python: \[(.*)\]", forge)
    assert named == re.findall(r'"([0-9.]+)"', tried)
    assert PROJECT["requires-python"] == f">={named[0]}"


def test_the_forge_does_what_our_own_ci_does():
    forge, own = ((ROOT / name).read_text() for name in (".github/workflows/ci.yml", ".ci/run"))
    assert set(re.findall(r"make (\w+)", forge)) == set(re.findall(r"^make (\w+)", own, re.MULTILINE))
