"""The rooms stand where docs/architecture.md says: imports point down only, and nothing grows without bound."""

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "apmatrix"
STANDS_ON = {
    "arch": set(),
    "rules": {"arch"},
    "cards": {"arch"},
    "machine": {"arch", "rules", "cards"},
    "linux": {"arch", "rules", "cards", "machine"},
    "config": {"arch", "rules"},
    "emulation": {"arch", "cards", "config", "linux", "machine"},
    "faces": {"arch", "rules", "linux", "machine"},
    "service": {"arch", "cards", "config", "emulation", "faces", "linux"},
    "cli": {"arch", "config", "emulation", "faces", "machine", "service"},
}
"""Each room and those that it may import."""

FILES = sorted(SOURCE.rglob("*.py"))
LONGEST_FILE = 500
LONGEST_FUNCTION = 60


def imports(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def test_every_room_is_declared():
    assert {path.relative_to(SOURCE).parts[0] for path in FILES if path.parent != SOURCE} == STANDS_ON.keys()


def test_no_room_stands_on_itself_by_a_detour():
    placed = set()
    while placed != STANDS_ON.keys():
        ready = {room for room, below in STANDS_ON.items() if below <= placed}
        assert ready - placed, f"a circle among {STANDS_ON.keys() - placed}"
        placed |= ready


@pytest.mark.parametrize("room", STANDS_ON)
def test_imports_point_down(room):
    wrong = [
        f"{path.relative_to(SOURCE)} imports {module}"
        for path in FILES
        if path.relative_to(SOURCE).parts[0] == room
        for module in imports(ast.parse(path.read_text()))
        if module.startswith("apmatrix.") and module.split(".")[1] not in STANDS_ON[room] | {room}
    ]
    assert not wrong


def test_the_document_knows_every_room():
    document = (SOURCE.parents[1] / "docs" / "architecture.md").read_text()
    assert [room for room in STANDS_ON if f"| `{room}` |" not in document] == []


def too_long():
    for path in FILES:
        text, name = path.read_text(), str(path.relative_to(SOURCE))
        if text.count("\n") > LONGEST_FILE:
            yield name
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef) and node.end_lineno - node.lineno >= LONGEST_FUNCTION:
                yield f"{name}: {node.name}"


def test_files_and_functions_stay_short():
    assert list(too_long()) == []
