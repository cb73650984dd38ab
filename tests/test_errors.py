"""Every intended error is in the tree that arch/errors.py draws, and only there."""

import ast
import importlib
import pkgutil
import re
from pathlib import Path

import apmatrix
from apmatrix.arch import ApmatrixError, errors

DRAWN = re.compile(r"^ {4}((?:[│ ] {3})*(?:[├└]── )?)(\w+) {2,}(\S.*)$")
SOURCE = Path(apmatrix.__file__).parent


def drawn():
    """The lines of the tree: each error under the names of those above it."""
    path: list[str] = []
    for line in errors.__doc__.splitlines():
        if found := DRAWN.match(line):
            path[len(found[1]) // 4 :] = [found[2]]
            yield " > ".join(path)


def existing(root, above=()):
    path = (*above, root.__name__)
    yield " > ".join(path)
    for child in root.__subclasses__():
        if child.__module__.startswith("apmatrix."):
            yield from existing(child, path)


def test_the_drawn_tree_is_the_one_that_exists():
    for module in pkgutil.walk_packages(apmatrix.__path__, "apmatrix."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    shown, real = [*drawn()], [*existing(ApmatrixError)]
    missing = [f"missing: {line}" for line in real if line not in shown]
    superfluous = [f"superfluous: {line}" for line in shown if line not in real]
    assert "\n".join(missing + superfluous) == ""
    assert len(shown) == len(set(shown)) > 40


def test_every_branch_ends_in_the_drawing_where_it_ends():
    """``└`` is the last child of its parent, ``├`` is not."""
    lines = [line for line in errors.__doc__.splitlines() if DRAWN.match(line)]
    for number, line in enumerate(lines):
        column = next((place for place, char in enumerate(line) if char in "├└"), None)
        if column is not None:
            below = lines[number + 1 :]
            rest = [char for char in (other[column] for other in below) if char not in "│ "]
            goes_on = bool(below) and below[0][column] in "│├└"
            assert goes_on == (line[column] == "├"), line
            assert not goes_on or rest[0] in "├└", line


def test_nothing_raises_the_bare_root():
    bare = [
        f"{path.relative_to(SOURCE)}:{node.lineno}"
        for path in sorted(SOURCE.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Raise)
        and isinstance(node.exc, ast.Call)
        and isinstance(node.exc.func, ast.Name)
        and node.exc.func.id == "ApmatrixError"
    ]
    assert bare == []
