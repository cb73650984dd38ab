"""``import apmatrix`` offers what it says, all of it, and nothing else; and it loads nothing before it is used."""

import importlib
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import apmatrix
from apmatrix import api

ROOT = Path(__file__).parents[2]
CLASSES = [name for name in apmatrix.__all__ if inspect.isclass(getattr(apmatrix, name))]
OWN = [name for name in CLASSES if getattr(apmatrix, name).__module__.startswith("apmatrix.api.")]
SPOKEN = (ROOT / "docs" / "python.md").read_text()
OTHER_TYPES = {
    *(
        "Callable",
        "Iterable",
        "Iterator",
        "Mapping",
        "Sequence",
        "Self",
        "None",
        "UUID",
        "PathLike",
        "CompletedProcess",
    ),
    *("AnyApqn", "AnyPath", "Numbers", "Policy", "State", "Words", "LinuxSystem", "Emulation", "Testbed"),
}


def python(code):
    """What a new interpreter prints."""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60).stdout


def public_members(kind):
    return {name: inspect.getattr_static(kind, name) for name in dir(kind) if not name.startswith("_")}


def test_all_is_sorted_and_what_the_room_offers():
    assert apmatrix.__all__ == sorted(apmatrix.__all__)
    assert [*apmatrix.__all__] == sorted([*api.__all__, "__version__"])


@pytest.mark.parametrize("name", apmatrix.__all__)
def test_every_name_is_there(name):
    assert getattr(apmatrix, name) is not None


@pytest.mark.parametrize("name", CLASSES)
def test_every_name_belongs_and_has_a_docstring(name):
    kind = getattr(apmatrix, name)
    assert kind.__module__.startswith("apmatrix.")
    assert kind.__name__ == name
    assert len(kind.__doc__.split()) > 3
    for member, value in public_members(kind).items():
        if inspect.isfunction(value) or isinstance(value, property | classmethod):
            text = inspect.getdoc(getattr(kind, member)) if not isinstance(value, property) else value.__doc__
            assert text or kind.__module__.startswith("apmatrix.arch"), f"{name}.{member}"


@pytest.mark.parametrize("name", CLASSES)
def test_every_name_is_in_the_document(name):
    assert re.search(rf"`(apmatrix\.)?{name}\b", SPOKEN), f"docs/python.md does not mention {name}"


@pytest.mark.parametrize("name", OWN)
def test_every_method_of_the_api_is_in_the_document(name):
    missing = [
        member
        for member, value in public_members(getattr(apmatrix, name)).items()
        if (inspect.isfunction(value) or isinstance(value, property | classmethod))
        and not re.search(rf"\b{member}\b", SPOKEN)
    ]
    assert missing == []


@pytest.mark.parametrize("name", OWN)
def test_types_of_signatures_are_public_too(name):
    for member, value in public_members(getattr(apmatrix, name)).items():
        function = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
        for annotation in getattr(function, "__annotations__", {}).values():
            named = set(re.findall(r"\b[A-Z]\w+", str(annotation)))
            assert named <= {*apmatrix.__all__, *OTHER_TYPES}, f"{name}.{member}: {annotation}"


def test_dir_shows_the_public_names():
    assert dir(apmatrix) == apmatrix.__all__


def test_there_is_nothing_else():
    code = "import apmatrix; print([name for name in vars(apmatrix) if not name.startswith('_')])"
    assert python(code) == "[]\n"
    with pytest.raises(AttributeError, match="'apmatrix' has no attribute 'machines'"):
        getattr(apmatrix, "machines")  # noqa: B009 - a type checker says the same


def test_a_star_import_brings_all():
    code = "from apmatrix import *; print(sorted(name for name in globals() if not name.startswith('__')))"
    assert python(code) == f"{[name for name in apmatrix.__all__ if name != '__version__']}\n"


@pytest.mark.parametrize("module", ["apmatrix", "apmatrix.rules", "apmatrix.rules.refusals", "apmatrix.arch"])
def test_a_part_comes_without_the_emulator(module):
    importlib.import_module(module)
    loaded = python(f"import sys, {module}; print(*sys.modules)").split()
    heavy = {"gmpy2", "cryptography", "msgspec", "click", "rich", "pytest"}
    rooms = {name for name in loaded if name.startswith(("apmatrix.linux", "apmatrix.cards", "apmatrix.machine"))}
    assert heavy & set(loaded) == set()
    assert rooms == set()


def test_the_version_is_that_of_the_package():
    assert importlib.import_module("importlib.metadata").version("apmatrix") == apmatrix.__version__


def test_a_type_checker_sees_the_same_names(tmp_path):
    """mypy --strict, for a program that uses the package as it is installed: py.typed counts."""
    lines = [
        "import apmatrix",
        *(f"reveal_type(apmatrix.{name})" for name in apmatrix.__all__),
        "apmatrix.no_such_name",
    ]
    program = tmp_path / "program.py"
    program.write_text("\n".join(lines) + "\n")
    words = ["--strict", "--no-error-summary", "--cache-dir", tmp_path / "cache", "--follow-imports=silent", program]
    done = subprocess.run([sys.executable, "-m", "mypy", *words], capture_output=True, text=True, cwd=tmp_path)
    revealed = re.findall(r"program\.py:(\d+): note: Revealed type is \"(.*)\"", done.stdout)
    assert [int(line) for line, _ in revealed] == list(range(2, len(lines))), done.stdout
    assert [found for _, found in revealed if found == "Any"] == []
    errors = re.findall(r"^program\.py:\d+: error: (.*)", done.stdout, re.MULTILINE)
    assert errors == ['Module has no attribute "no_such_name"  [attr-defined]']
    assert (Path(apmatrix.__file__).parent / "py.typed").exists()
