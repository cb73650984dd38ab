"""Layers over the computer's directories: a command's changes end with it, or are kept in a machine's state."""

from __future__ import annotations

import errno
import os
import re
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from apmatrix.faces.errors import LayerError
from apmatrix.faces.libc import MountFlag, attach_mount, clone_mount, mount

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

SYSTEM: Final = ("/usr", "/var")
"""Directories whose changes are not worth keeping: daemons such as libvirtd and package managers write there."""

_ETC: Final = "/etc"
_WORK: Final = "work"


class Handover(Protocol):
    """One mount for several commands, each of which uses it alone for a moment.

    Two overlays with the same layers would not see each other's changes, and would break each other.
    """

    def take(self) -> tuple[int | None, str]:
        """A descriptor of the mount, if there is one, and the name of a work directory that no mount uses."""

    def give(self, descriptor: int | None) -> None:
        """Pass the mount on to the next command; None makes that command mount its own."""


def cover_system(layers: Path, keep: Iterable[str], *, own_user: bool) -> None:
    """Cover /usr and /var; changes go to directories in ``layers``.

    The directories in ``keep`` stay the computer's, and so does what is mounted below. ``own_user`` is as in
    :func:`cover_etc`.
    """
    wanted = (*keep, *_mount_points())
    for top in SYSTEM:
        real = os.open(top, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            _cover(top, layers / top[1:], own_user=own_user)
        except OSError as error:
            # In a sandbox in a sandbox, where overlays cannot be stacked any higher, the outer one's stays.
            if error.errno != errno.EINVAL:
                raise
        else:
            for path in _outermost(path for path in wanted if path.startswith(f"{top}/")):
                _uncover(path, Path(f"/proc/self/fd/{real}", path.removeprefix(f"{top}/")))
        finally:
            os.close(real)


def cover_etc(layers: Path, handover: Handover | None = None, *, own_user: bool) -> None:
    """Cover /etc (mdevctl.d, udev/rules.d …); changes go to ``layers``, which may be kept.

    If they are, ``handover`` provides the mount of the commands that already use them. ``own_user`` is true in a user
    namespace, where the computer's files belong to another user. Raises LayerError.
    """
    there, work = handover.take() if handover else (None, _WORK)
    if there is None or not _attach(there, _ETC):
        _make_etc(layers, work, own_user=own_user)
    if handover:
        handover.give(_clone(_ETC))


def _make_etc(layers: Path, work: str, *, own_user: bool) -> None:
    if own_user and not any(layers.glob(f"{_WORK}*")):
        _own_directories(_ETC, layers / "upper")
    try:
        _cover(_ETC, layers, work, own_user=own_user)
    except OSError as error:
        raise LayerError(
            f"/etc cannot be covered by an overlay ({error.strerror}): the kernel stacks two at most, of which a"
            " container may be one and an apmatrix run around this one another"
        ) from error


def _attach(descriptor: int, target: str) -> bool:
    try:
        attach_mount(descriptor, target)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True


def _clone(target: str) -> int | None:
    try:
        return clone_mount(target)
    except OSError:
        return None


def _cover(target: str, layers: Path, work_name: str = _WORK, *, own_user: bool) -> None:
    upper, work = layers / "upper", layers / work_name
    for directory in (upper, work):
        directory.mkdir(parents=True, exist_ok=True)
    # Where root is not the real one, the kernel's notes on removed directories must be a user's attributes.
    notes = ",userxattr" if own_user else ""
    mount("overlay", target, "overlay", options=f"lowerdir={target},upperdir={upper},workdir={work}{notes}")


def _uncover(path: str, real: Path) -> None:
    if real.is_dir():
        mount(str(real), path, flags=MountFlag.BIND | MountFlag.RECURSIVE)


def _own_directories(target: str, upper: Path) -> None:
    """Make a directory for each of the target's: nothing could be created in another user's."""
    for path, _, _ in os.walk(target):
        directory = upper / Path(path).relative_to(target)
        directory.mkdir(parents=True, exist_ok=True)
        directory.chmod(stat.S_IMODE(Path(path).stat().st_mode))


def _mount_points() -> Iterator[str]:
    for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="surrogateescape").splitlines():
        yield re.sub(r"\\(\d{3})", lambda octal: chr(int(octal[1], 8)), line.split()[4])


def _outermost(paths: Iterable[str]) -> Iterator[str]:
    """The paths that are not below another one."""
    last = None
    for path in sorted(set(paths), key=lambda path: path.split("/")):
        if last is None or not path.startswith(f"{last}/"):
            last = path
            yield path
