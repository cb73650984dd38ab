"""The rooms stand where docs/architecture.md says: imports point down only, and nothing grows without bound."""

import ast
import subprocess
import sys
from collections import defaultdict
from graphlib import TopologicalSorter
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
    "hosts": {"arch", "rules"},
    "emulation": {"hosts", "rules", "arch", "cards", "config", "linux", "machine"},
    "faces": {"arch", "rules", "linux", "machine"},
    "service": {"hosts", "rules", "arch", "cards", "config", "emulation", "faces", "linux", "machine"},
    "api": {"arch", "cards", "config", "emulation", "faces", "hosts", "linux", "machine", "rules", "service"},
    "cli": {"hosts", "rules", "arch", "config", "emulation", "faces", "service"},
}
"""Each room and those that it may import."""

LINUX_STANDS_ON = {
    "core": set(),
    "ap": {"core"},
    "zcrypt": {"core", "ap"},
    "kvm": {"core"},
    "vfio_ap": {"core", "ap", "kvm"},
    "system": {"core", "ap", "zcrypt", "kvm", "vfio_ap"},
}
"""Each part of the room ``linux`` and those that it may import; ``system`` is what stands directly in the room."""

OBJECTS_OF_THE_KERNEL = {"ap", "vfio_ap", "system"}
"""Parts of ``linux`` whose files name each other: bus and queues, module and mdevs, a system and its VMs."""

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
    placed = set[str]()
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


def part_of_linux(parts):
    """The part that a path or a module's name below ``linux`` belongs to."""
    return parts[0] if parts and parts[0] in LINUX_STANDS_ON else "system"


def linux_imports():
    """Each file of ``linux`` with the modules and names that it imports from there, for types alone too."""
    for path in FILES:
        room, *parts = path.relative_to(SOURCE).with_suffix("").parts
        if room == "linux":
            tree = ast.parse(path.read_text())
            found = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module]
            names = [f"{node.module}.{alias.name}" for node in found for alias in node.names]
            modules = [name.split(".") for name in [*imports(tree), *names]]
            yield parts, [module[2:] for module in modules if module[:2] == ["apmatrix", "linux"] and module[2:]]


def test_the_parts_of_linux_import_only_what_they_stand_on():
    imported: dict[str, set[str]] = {part: set() for part in LINUX_STANDS_ON}
    for parts, modules in linux_imports():
        imported[part_of_linux(parts)] |= {part_of_linux(module) for module in modules}
    assert {part: found - {part} for part, found in imported.items()} == LINUX_STANDS_ON


def test_the_parts_of_linux_are_in_order():
    assert [*TopologicalSorter(LINUX_STANDS_ON).static_order()]


@pytest.mark.parametrize("part", sorted(LINUX_STANDS_ON.keys() - OBJECTS_OF_THE_KERNEL))
def test_no_files_of_other_parts_of_linux_name_each_other(part):
    graph = {
        ".".join(parts): {".".join(module) for module in modules}
        for parts, modules in linux_imports()
        if part_of_linux(parts) == part and parts[-1] != "__init__"
    }
    assert [*TopologicalSorter(graph).static_order()]


LIGHT = ("rules", "hosts", "config")
"""What a real host's administrator stands on: these load no part of the emulator."""
EMULATOR = ("cards", "machine", "linux", "emulation", "faces", "service")
COMPILED = ("gmpy2", "cryptography")


@pytest.mark.parametrize("room", LIGHT)
def test_nothing_of_the_emulator_is_loaded_by(room):
    names = [f"apmatrix.{'.'.join(path.relative_to(SOURCE).with_suffix('').parts)}" for path in FILES]
    own = sorted(name.removesuffix(".__init__") for name in names if name.startswith(f"apmatrix.{room}."))
    code = f"import sys, {', '.join(own)}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = done.stdout.split()
    unwanted = (*(f"apmatrix.{name}" for name in EMULATOR), *COMPILED)
    assert f"apmatrix.{room}" in loaded
    assert [name for name in loaded if name.startswith(unwanted)] == []


@pytest.mark.parametrize("room", STANDS_ON)
def test_every_allowance_is_used(room):
    used = {
        module.split(".")[1]
        for path in FILES
        if path.relative_to(SOURCE).parts[0] == room
        for module in imports(ast.parse(path.read_text()))
        if module.startswith("apmatrix.")
    }
    assert STANDS_ON[room] - used == set()


def test_the_document_knows_every_room():
    document = (SOURCE.parents[1] / "docs" / "architecture.md").read_text()
    assert [room for room in STANDS_ON if f"| `{room}` |" not in document] == []


def test_each_class_has_a_name_of_its_own():
    places = defaultdict(list)
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                places[node.name].append(str(path.relative_to(SOURCE)))
    assert {name: found for name, found in places.items() if len(found) > 1} == {}


SHIFTS = {
    "faces/boot/bridge.py": "a register of 128 bits in two halves",
    "faces/boot/handler.py": "addresses",
    "faces/boot/storage.py": "addresses",
    "faces/fuse/wire.py": "the type of a file in its mode",
    "linux/ap/message.py": "a number of 64 bits in two halves",
    "linux/zcrypt/byteorder.py": "layouts of another byte order",
    "machine/instructions.py": "a number of 64 bits in two registers",
}
"""Files outside of ``arch`` that shift bits, and what for: never to get at a field."""


def test_formats_are_declared_instead_of_shifted():
    found = {
        str(path.relative_to(SOURCE))
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.BinOp)
        and isinstance(node.op, ast.LShift | ast.RShift)
        and not all(isinstance(side, ast.Constant) for side in (node.left, node.right))
    }
    assert {name for name in found if not name.startswith("arch/")} == SHIFTS.keys()


def too_long():
    for path in FILES:
        text, name = path.read_text(), str(path.relative_to(SOURCE))
        if text.count("\n") > LONGEST_FILE:
            yield name
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef) and (node.end_lineno or 0) - node.lineno >= LONGEST_FUNCTION:
                yield f"{name}: {node.name}"


def test_files_and_functions_stay_short():
    assert list(too_long()) == []
