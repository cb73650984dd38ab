"""Prepares what a guest boots: a kernel, and an initramfs with a task for it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from apmatrix.faces.boot.errors import PackageError
from apmatrix.faces.boot.image import StandAloneImage
from apmatrix.faces.boot.initramfs import TOOL_PACKAGES, Interactive, base, modules, task
from apmatrix.faces.boot.packages import Repository, cache_directory, unpack

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_SUFFIX = ".deb"


@dataclass(frozen=True, slots=True)
class Software:
    """The software of a guest.

    ``kernel`` is a file, a Debian package, the name of a Debian suite, or None for the suite of this machine.
    ``initrd`` is an initramfs to use instead of ours. ``command`` is a line for the guest's shell. ``extra`` are
    programs for the guest by path, ``packages`` Debian packages whose libraries they may need.
    """

    kernel: str | None = None
    initrd: Path | None = None
    command: str | None = None
    interactive: Interactive | None = None
    extra: Mapping[str, bytes] = field(default_factory=dict)
    packages: tuple[str, ...] = ()

    def stand_alone(self) -> StandAloneImage | None:
        """The stand-alone program in the kernel's file, if there is one; PackageError if the file is unreadable."""
        return StandAloneImage.read(Path(self.kernel)) if self.kernel and Path(self.kernel).is_file() else None

    def prepare(self, progress: Callable[[str], None]) -> tuple[Path, bytes | None]:
        """Fetch what is missing; the kernel's file, and the initramfs, which a stand-alone program can do without.

        Raises PackageError.
        """
        kernel, trees = self._kernel(progress)
        if self.initrd is not None:
            try:
                return kernel, self.initrd.read_bytes()
            except OSError as error:
                reason = f"{self.initrd} cannot be read ({error.strerror})"
                raise PackageError(f"{reason}: --initrd needs an initramfs for s390x") from error
        if self.stand_alone() is not None:
            return kernel, None
        progress("getting the guest's tools (Debian s390x)")
        repository = Repository(progress=progress)
        packages = (*TOOL_PACKAGES, *self.packages)
        tools = [repository.tree(package) for package in repository.fetch(packages)]
        progress("building the guest's initramfs")
        if not any(modules(trees)):
            progress("no zcrypt modules come with this kernel: its cards have no driver unless one is built in")
        return kernel, bytes(base(tools, trees, self.extra)) + bytes(task(self.command, self.interactive))

    def _kernel(self, progress: Callable[[str], None]) -> tuple[Path, list[Path]]:
        """The kernel's file, and unpacked packages that may have its modules."""
        given = Path(self.kernel or "")
        if self.kernel and given.is_file():
            if given.suffix != _SUFFIX:
                return given, []
            trees = [unpack(given, cache_directory() / "trees")]
        elif (self.kernel and "/" in self.kernel) or given.suffix == _SUFFIX:
            raise PackageError(
                f"{self.kernel} is not a file: --kernel needs a kernel, a Debian package or a Debian suite"
            )
        else:
            progress(f"getting the kernel (Debian {self.kernel or 'of this machine'}, s390x)")
            repository = Repository(*filter(None, [self.kernel]), progress=progress)
            trees = [repository.tree(package) for package in repository.kernel()]
        images = [path for tree in trees for path in tree.glob("**/vmlinuz*") if path.is_file()]
        if not images:
            raise PackageError(f"{self.kernel} has no kernel (vmlinuz) in it")
        return images[0], trees
