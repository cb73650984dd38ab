"""The recipes of CONTRIBUTING.md work: applied to a copy of the source, they are tidy and their tests pass."""

import os
import shutil
import subprocess
import sys

import pytest

from support.documents import ROOT, apply, recipes

RECIPES = recipes()


@pytest.fixture
def tree(tmp_path):
    """A copy of the source and of what tests share."""
    for name in ("src", "tests/support", "examples", "docs/reference"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "tests/conftest.py"):
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "tests" / "data").symlink_to(ROOT / "tests" / "data")
    return tmp_path


def run(tree, *words):
    """Run a tool of this Python on the copy, which must be content."""
    environment = os.environ | {"PYTHONPATH": str(tree / "src")}
    done = subprocess.run([sys.executable, "-m", *words], cwd=tree, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_there_is_a_recipe_for_what_is_added_most():
    assert RECIPES.keys() == {"attribute", "verb", "command", "fault", "rule", "request"}


@pytest.mark.parametrize("name", RECIPES)
def test_recipe(name, tree):
    for _, block in RECIPES[name]:
        (tree / block.words[2]).parent.mkdir(parents=True, exist_ok=True)
    changed = [apply(kind, block, tree) for kind, block in RECIPES[name]]
    source = [path for path in changed if path.suffix == ".py"]
    run(tree, "ruff", "check", "--no-cache", *source)
    run(tree, "ruff", "format", "--no-cache", "--check", *source)
    tests = [path for path in changed if path.name.startswith("test_")]
    assert tests
    assert " passed" in run(tree, "pytest", "-p", "no:cacheprovider", "-o", "addopts=--import-mode=importlib", *tests)
