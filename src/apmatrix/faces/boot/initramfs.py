"""The guest's initramfs: busybox, the zcrypt tools with their libraries, the kernel's zcrypt modules."""

from __future__ import annotations

import lzma
import re
import shlex
import subprocess
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING

from apmatrix.faces.boot.cpio import Archive
from apmatrix.faces.boot.errors import PackageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

TOOL_PACKAGES = ("busybox-static", "s390-tools", "libc6")
TOOLS = ("lszcrypt", "chzcrypt", "zcryptstats")
MODULES = ("zcrypt_cex4",)
MODULE_DIRECTORY = "lib/modules/apmatrix"

_LINKED_DIRECTORIES = ("bin", "sbin", "lib", "lib64")
_LIBRARY = re.compile(rb"\0(?:/[\w./-]*/)?([\w.+-]+\.so(?:\.\d+)*)(?=\0)")
_DEPENDS = re.compile(rb"\0depends=([^\0]*)\0")
_APPLETS = re.compile(rb"\0((?:[a-z0-9_\[-]+\0){100,})")
_PLACES = ("", "usr/")


@dataclass(frozen=True, slots=True)
class Interactive:
    """A shell on the console, of a terminal with this type and size."""

    terminal: str = "vt100"
    rows: int = 24
    columns: int = 80


def base(
    tool_trees: Iterable[Path], kernel_trees: Iterable[Path], extra: Mapping[str, bytes] | None = None
) -> Archive:
    """The file system, without a task for the guest.

    ``tool_trees`` are unpacked packages, from which the tools and the libraries that they name are taken. ``extra``
    are more programs by path. Raises PackageError if something essential is missing.
    """
    trees = list(tool_trees)
    archive = Archive()
    for name in ("proc", "sys", "dev", "tmp", "root", "usr/bin", "usr/sbin", "usr/lib", "usr/lib64"):
        archive.directory(name)
    for name in _LINKED_DIRECTORIES:
        archive.link(name, f"usr/{name}")
    archive.file("init", resources.files(__package__).joinpath("init.sh").read_bytes(), 0o755)
    _add_busybox(archive, _required(trees, "bin/busybox").read_bytes())
    for tool in TOOLS:
        if (path := _find(trees, f"sbin/{tool}")) is not None:
            _add_program(archive, trees, f"usr/sbin/{tool}", path.read_bytes())
    for name, content in (extra or {}).items():
        _add_program(archive, trees, name, content)
    archive.link("usr/lib/ld64.so.1", "s390x-linux-gnu/ld64.so.1")  # where programs look for their loader
    for number, (name, content) in enumerate(modules(kernel_trees)):
        archive.file(f"{MODULE_DIRECTORY.replace('lib', 'usr/lib', 1)}/{number:02}-{name}.ko", content)
    return archive


def task(command: str | None = None, interactive: Interactive | None = None) -> Archive:
    """An archive to append to the first: what the guest is to do once it is up."""
    archive = Archive()
    if command is not None:
        archive.file("apmatrix/command", command.encode() + b"\n")
    if interactive is not None:
        settings = f"TERM={shlex.quote(interactive.terminal)} ROWS={interactive.rows} COLUMNS={interactive.columns}\n"
        archive.file("apmatrix/interactive", settings.encode())
    return archive


def modules(trees: Iterable[Path]) -> Iterator[tuple[str, bytes]]:
    """Names and contents of the kernel's modules for zcrypt, dependencies first.

    PackageError if a module that is needed is compressed in a way that we cannot read.
    """
    files = {path.name.split(".ko")[0]: path for tree in trees for path in tree.glob("**/kernel/**/*.ko*")}
    done: dict[str, bytes] = {}

    def add(name: str) -> None:
        path = files.get(name) or files.get(name.replace("_", "-"))
        if path is None or name in done:
            return  # built into the kernel, or already added
        content = _decompressed(path)
        found = _DEPENDS.search(content)
        for needed in found[1].decode().split(",") if found and found[1] else ():
            add(needed)
        done[name] = content

    for name in MODULES:
        add(name)
    yield from done.items()


def _decompressed(path: Path) -> bytes:
    content = path.read_bytes()
    if path.suffix == ".xz":
        return lzma.decompress(content)
    if path.suffix == ".zst":
        try:
            done = subprocess.run(["zstd", "-dc"], input=content, capture_output=True, check=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise PackageError(f"{path.name} needs the program zstd to be unpacked: install Debian's zstd") from error
        return done.stdout
    return content


def _add_busybox(archive: Archive, content: bytes) -> None:
    """Add busybox and a link for each of its commands, whose names follow each other in the program."""
    archive.file("usr/bin/busybox", content, 0o755)
    found = _APPLETS.search(content)
    if found is None:
        raise PackageError("the package busybox-static has no list of commands that we can read")
    for name in found[1].decode().split("\0"):
        if name and name != "busybox":
            archive.link(f"usr/bin/{name}", "busybox")


def _add_program(archive: Archive, trees: list[Path], path: str, content: bytes) -> None:
    """Add a program or library, and, of the libraries that its strings name, those that the packages have."""
    if path in archive:
        return
    archive.file(path, content, 0o755)
    for name in _LIBRARY.findall(content):
        library = _find_library(trees, name.decode())
        if library is not None:
            place, file = library
            _add_program(archive, trees, place, file.read_bytes())


def _find_library(trees: list[Path], name: str) -> tuple[str, Path] | None:
    for tree in trees:
        for place in _PLACES:
            for directory in ("lib/s390x-linux-gnu", "lib"):
                file = tree / place / directory / name
                if file.is_file():
                    return f"usr/{directory}/{name}", file
    return None


def _find(trees: list[Path], path: str) -> Path | None:
    candidates = (tree / place / path for tree in trees for place in _PLACES)
    return next((path for path in candidates if path.is_file()), None)


def _required(trees: list[Path], path: str) -> Path:
    if (found := _find(trees, path)) is None:
        raise PackageError(f"the packages {', '.join(TOOL_PACKAGES)} have no {path}")
    return found
