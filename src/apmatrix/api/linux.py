"""The Linux systems of a machine, LPARs' and guests', by name: running or not."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import contextmanager
from subprocess import CompletedProcess
from typing import TYPE_CHECKING
from uuid import UUID

from apmatrix.api.cpu import LevelCpu
from apmatrix.api.crypto import Crypto
from apmatrix.api.errors import CannotRun, NotRunning, as_system_call
from apmatrix.api.sysfs import SysfsFiles
from apmatrix.api.values import AnyApqn, Numbers, Policy, as_apqn, as_mask, one_of, words_of
from apmatrix.arch import EMPTY_MATRIX, Apqn, Matrix
from apmatrix.arch.arguments import checked
from apmatrix.config import HostSettings
from apmatrix.emulation import explain
from apmatrix.faces.errors import SandboxError
from apmatrix.hosts import Explanation
from apmatrix.hosts.facts import assigned_matrix, queue_drivers
from apmatrix.linux.core import Uevent
from apmatrix.service.command import Command
from apmatrix.service.spawn import run_collected

if TYPE_CHECKING:
    from collections.abc import Iterator

    from apmatrix.emulation import Guest, System
    from apmatrix.hosts import Refusal
    from apmatrix.linux import LinuxSystem
    from apmatrix.linux.core import LogEntry
    from apmatrix.service.server import MachineServer


__tracebackhide__ = True  # pytest shows the caller's line instead


class Linux:
    """A Linux system of a machine. ``name`` is ``kvm1`` or ``kvm1/guest1``; a machine's methods find it.

    It keeps its meaning when the system is stopped, started or rebooted. What needs a running system raises
    NotRunning.
    """

    def __init__(self, server: MachineServer, names: tuple[str, ...]) -> None:
        self.names = names
        self._server = server
        self._emulation = server.emulation
        self.sysfs = SysfsFiles(self._linux)
        self.cpu = LevelCpu(self._linux)
        self.crypto = Crypto(self._linux)

    @property
    def name(self) -> str:
        """Its name from the LPAR down, such as ``kvm1/guest1``."""
        return "/".join(self.names)

    @property
    def running(self) -> bool:
        """True while it is running."""
        return self._find() is not None

    @property
    def matrix(self) -> Matrix:
        """What it can use: the AND of the masks of all levels."""
        return self._linux().level.effective

    @property
    def queues(self) -> dict[Apqn, str | None]:
        """The queues that its AP bus has found, each with the driver that it is bound to, or None."""
        return queue_drivers(self._system().shell.tree)

    @property
    def guests(self) -> tuple[GuestLinux, ...]:
        """Its guests, running or not."""
        return tuple(GuestLinux(self._server, guest.names) for guest in self._system().guests)

    @property
    def log(self) -> tuple[LogEntry, ...]:
        """The kernel log since it booted, oldest first: the newest 4096 entries."""
        return self._linux().log.entries

    @property
    def uevents(self) -> tuple[Uevent, ...]:
        """The uevents since it booted, oldest first: the newest 4096."""
        return self._linux().uevents.history

    @checked
    def on_uevent(self, action: Callable[[Uevent], None]) -> Callable[[], None]:
        """Call ``action`` with every uevent from now on, until the system reboots; returns a function that ends this.

        ``action`` is called while the system is locked: it must not wait.
        """
        return self._linux().uevents.subscribe(action)

    @contextmanager
    def collect_uevents(self) -> Iterator[list[Uevent]]:
        """A list to which the uevents of the ``with`` block are added."""
        events: list[Uevent] = []
        end = self.on_uevent(events.append)
        try:
            yield events
        finally:
            end()

    def scan(self) -> None:
        """Scan the AP bus now. Linux does so by itself every 30 seconds."""
        self._linux().scan()

    def load_vfio_ap(self) -> None:
        """``modprobe vfio_ap``; nothing happens if it is already loaded."""
        self._linux().load_vfio_ap()

    def unload_vfio_ap(self) -> None:
        """``rmmod vfio_ap``; OSError (EAGAIN) while a guest has an mdev."""
        with as_system_call():
            self._linux().unload_vfio_ap()

    def reboot(self) -> None:
        """Shut it down with all its guests, and boot it again as the machine's description says."""
        with self._emulation.changing:
            system = self._system()
            self._emulation.make_room(system)
            self._emulation.boot(system)

    @checked
    def start_guest(
        self, uuid: UUID | str, name: str | None = None, *, vfio_ap: bool = True, policy: Policy = "linux"
    ) -> GuestLinux:
        """Start a VM with the mdev ``uuid``, which was made through sysfs; ``name`` is the UUID by default.

        ``vfio_ap`` and ``policy`` are those of the Linux in it. OSError as QEMU gets it from the kernel: ENODEV if
        there is no such mdev, EBUSY if it is in use; EEXIST if another guest has the name. ValueError for what is no
        UUID, name or policy.
        """
        mdev = _uuid(uuid)
        if name is not None and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", name):
            raise ValueError(f"{name!r} cannot name a guest: letters, digits, '.', '_' and '-', up to 64, can")
        one_of(policy, Policy, "a policy")
        settings = HostSettings(vfio_ap=vfio_ap, policy=policy)
        with as_system_call():
            guest = self._emulation.start_mdev(self._system(), mdev, name or str(mdev), settings)
        return GuestLinux(self._server, guest.names)

    @checked
    def run(
        self,
        command: Sequence[str | os.PathLike[str]],
        *,
        input: str | None = None,  # noqa: A002 - as subprocess.run has it
        timeout: float | None = None,
        check: bool = False,
        cwd: str | os.PathLike[str] | None = None,
        env: Mapping[str, str] | None = None,
        udev: bool = False,
        keep: Iterable[str | os.PathLike[str]] = (),
    ) -> CompletedProcess[str]:
        """Run a program that sees this system as its own /sys and /dev; returns what it printed and its exit code.

        Works as ``apmatrix run`` does, with the keyword arguments of :func:`subprocess.run`. ``udev`` starts a
        private udevd first, ``keep`` are directories in /usr or /var that stay the computer's. CannotRun says what
        the computer lacks or forbids. TimeoutExpired after ``timeout`` seconds, and with ``check``
        CalledProcessError. TypeError and ValueError for what is not a list of words.
        """
        self._system()
        arguments, kept = words_of(command), tuple(os.fspath(each) for each in keep)
        order = Command(arguments, self._server.name, self.name, udev, kept)
        try:
            done = run_collected(self._server, order, text=input, timeout=timeout, directory=cwd, environment=env)
        except SandboxError as error:
            raise CannotRun(str(error)) from error
        if check:
            done.check_returncode()
        return done

    def _find(self) -> System | None:
        return next((system for system in self._emulation.systems() if system.names == self.names), None)

    def _system(self) -> System:
        system = self._find()
        if system is None:
            raise NotRunning(f"{self.name} is not running{self._why()}")
        return system

    def _linux(self) -> LinuxSystem:
        return self._system().linux

    def _why(self) -> str:
        return "".join(f": {refusal}" for refusal in self._emulation.refusals if refusal.system == self.name)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Linux) and (self._server, self.names) == (other._server, other.names)

    def __hash__(self) -> int:
        return hash(self.names)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"


def _uuid(uuid: UUID | str) -> UUID:
    try:
        return UUID(str(uuid))
    except ValueError:
        raise ValueError(
            f"{uuid!r} is not the UUID of an mdev, such as 62177883-f1bb-47f0-914d-32a22e3a8804"
        ) from None


class LparLinux(Linux):
    """An LPAR and its Linux."""

    @property
    def profile(self) -> Matrix:
        """The LPAR's activation profile."""
        self._system()
        return self._emulation.machine.lpars[self.name].profile.matrix

    @checked
    def set_profile(
        self,
        *,
        adapters: Numbers | None = None,
        usage_domains: Numbers | None = None,
        control_domains: Numbers | None = None,
    ) -> None:
        """Edit the activation profile of the running LPAR; what is None stays the same.

        Queues that leave the profile are zeroized. Linux is notified and scans. ProfileError, with nothing changed,
        if another LPAR has one of the queues, or the machine cannot have it.
        """
        old = self.profile
        wanted = {"adapters": adapters, "usage_domains": usage_domains, "control_domains": control_domains}
        pairs = zip((old.apm, old.aqm, old.adm), wanted.items(), strict=True)
        masks = (mask if numbers is None else as_mask(numbers, name) for mask, (name, numbers) in pairs)
        self._emulation.machine.set_profile(self.name, Matrix(*masks))


class GuestLinux(Linux):
    """A KVM guest and its Linux; while it is stopped, its mdev stays."""

    @property
    def host(self) -> Linux:
        """The Linux that it is a guest of."""
        above = self.names[:-1]
        return GuestLinux(self._server, above) if len(above) > 1 else LparLinux(self._server, above)

    @property
    def uuid(self) -> str:
        """The UUID of its mdev."""
        return self._guest().uuid

    @property
    def mdev(self) -> str:
        """The path of its mdev in the host: ``/sys/devices/vfio_ap/matrix/UUID``."""
        return self._guest().mdev

    @property
    def assigned(self) -> Matrix:
        """What is assigned to its mdev; nothing if there is no mdev."""
        guest = self._guest()
        return assigned_matrix(guest.host.shell.tree, guest.uuid)

    @property
    def refusal(self) -> Refusal | None:
        """What was refused when the machine's description defined or started it; None if nothing was."""
        return self._guest().refusal

    @property
    def matrix(self) -> Matrix:
        """What it can use: the AND of the masks of all levels; nothing while it is not running."""
        return super().matrix if self.running else EMPTY_MATRIX

    def start(self) -> None:
        """Start it with its mdev; OSError as QEMU gets it: EBUSY if it is running, ENODEV if there is no mdev."""
        with self._emulation.changing, as_system_call():
            self._emulation.start_guest(self._guest())

    @checked
    def explain(self, apqn: AnyApqn) -> Explanation:
        """Why it has, or does not have, a queue: every level from the machine down."""
        return explain(self._emulation, self.name, as_apqn(apqn))

    def stop(self) -> None:
        """Stop it with all its guests; its queues are reset. Nothing happens if it is not running."""
        self._emulation.stop_guest(self._guest())

    def _guest(self) -> Guest:
        found = next((guest for guest in self._emulation.guests() if guest.names == self.names), None)
        if found is None:
            raise NotRunning(f"{self.host.name}, the host of {self.name}, is not running")
        return found

    def _why(self) -> str:
        refusal = self._guest().refusal
        return f": {refusal}" if refusal else ""
