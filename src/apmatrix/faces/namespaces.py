"""A sandbox for a command, with the emulated system's /sys and its own /dev, /etc, /run, /usr and /var.

Everything is done in private namespaces of the calling process, so that nothing on the real machine changes and all
of it goes away with the last process in it: no mount, file or socket is made outside. What cannot be kept
apart is read-only: the real machine's part of /sys, and its device nodes where none can be made.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import socket
import stat
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from apmatrix.faces.errors import SandboxError
from apmatrix.faces.fuse import mount as fuse_mount
from apmatrix.faces.layers import Handover, cover_etc, cover_system
from apmatrix.faces.libc import MountFlag, Namespaces, enter_namespace, give_up, make_read_only, mount, unshare

if TYPE_CHECKING:
    from collections.abc import Iterable

DEVICES: Final = ("null", "zero", "full", "random", "urandom", "tty", "ptmx", "fuse")
"""Device nodes of the private /dev."""

_FUSE: Final = os.makedev(10, 229)
_NETLINK_KOBJECT_UEVENT: Final = 15
_UNWANTED: Final = {
    "CAP_SYS_MODULE": 16,
    "CAP_SYS_RAWIO": 17,
    "CAP_SYS_BOOT": 22,
    "CAP_SYS_TIME": 25,
    "CAP_SYSLOG": 34,
}
_OWN: Final = Namespaces.UTS | Namespaces.IPC
_COMPUTERS: Final = ("sys", "irq", "bus", "fs", "sysrq-trigger")
_SIOCSIFFLAGS: Final = 0x8914
_IFF_UP: Final = 1


@dataclass(frozen=True, slots=True)
class Sandbox:
    """File descriptors of a new sandbox, and its ``directory`` in the private /run.

    ``for_machine``, in this order: /dev/fuse and the prepared file system of /sys, the same of the device nodes, the
    uevent socket, the listening control socket, and the directory /dev. ``to_mount`` are the two file systems again,
    which the machine creates. ``real_sys`` is the real /sys, under the emulated one. ``own_user`` is true in a user
    namespace of its own, where the real machine's files belong to another user, unless this is ``root``.
    """

    for_machine: tuple[int, ...]
    to_mount: tuple[int, int]
    real_sys: int
    own_user: bool
    root: bool
    directory: Path

    def leave_to_machine(self) -> None:
        """Close this process's copies, so that the mount fails at once if the machine dies."""
        for descriptor in self.for_machine:
            if descriptor not in self.to_mount:
                os.close(descriptor)


def enter(directory: Path) -> Sandbox:
    """Move the calling process, which must have one thread, into new namespaces and prepare the emulated /sys.

    ``directory``, in the private /run, gets the control socket and the device nodes. The caller hands the result to
    the machine, which creates the file systems, and then calls :func:`complete`. Its children are in a new PID
    namespace, the first one as number 1. Raises SandboxError.
    """
    root = os.geteuid() == 0
    own_user = _unshare()
    mount("none", "/", flags=MountFlag.RECURSIVE | MountFlag.PRIVATE)
    sys = (_open_fuse(), fuse_mount.prepare())
    devices = (_open_fuse(), fuse_mount.prepare())
    real_sys = _keep_sys()
    uevents = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_KOBJECT_UEVENT)
    _loopback_up()
    control = _private_run(directory)
    _private_dev()
    device_directory(directory).mkdir()
    dev = os.open("/dev", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    for_machine = (*sys, *devices, uevents.detach(), control, dev)
    return Sandbox(for_machine, (sys[1], devices[1]), real_sys, own_user, root, directory)


def device_directory(directory: Path) -> Path:
    """Where the device nodes of a sandbox with this ``directory`` are mounted; /dev has links to them."""
    return directory / "dev"


def _open_fuse() -> int:
    try:
        device = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        raise SandboxError(
            f"/dev/fuse cannot be opened ({error.strerror}): an emulated /sys is a FUSE file system. "
            "Load the fuse module, or give this user access: chmod 0666 /dev/fuse"
        ) from error
    found = os.fstat(device)
    if not stat.S_ISCHR(found.st_mode) or found.st_rdev != _FUSE:
        os.close(device)
        raise SandboxError(
            "/dev/fuse is not the FUSE device, but something else of that name: an emulated /sys is a FUSE file "
            "system. Give a container the device with --device /dev/fuse"
        )
    return device


@dataclass(frozen=True, slots=True)
class Mounts:
    """What is mounted in a sandbox: ``bindings`` below /sys come from the real one.

    ``state`` is the directory with the /etc and the /run/lock of the machine's system.
    Directories in ``keep`` stay the computer's although they are in /usr or /var.
    """

    bindings: tuple[str, ...]
    state: str | None = None
    keep: tuple[str, ...] = ()


def complete(sandbox: Sandbox, mounts: Mounts, etc: Handover) -> None:
    """Mount /sys and the device nodes, complete /sys with the real entries, and make /etc, /usr and /var private.

    The machine already serves both file systems. An /etc that is kept comes through ``etc``.
    """
    for context, target in zip(sandbox.to_mount, ("/sys", str(device_directory(sandbox.directory))), strict=True):
        fuse_mount.attach(context, target)
    _bind_real(sandbox.real_sys, mounts.bindings)
    os.close(sandbox.real_sys)
    layers = sandbox.directory
    if sandbox.root:
        cover_system(layers, mounts.keep, own_user=sandbox.own_user)
    if mounts.state:
        cover_etc(Path(mounts.state, "etc"), etc, own_user=sandbox.own_user)
        _share_locks(Path(mounts.state, "lock"))  # from now on the machine counts on this command
    else:
        cover_etc(layers / "etc", own_user=sandbox.own_user)
    # What no namespace keeps apart: an emulated udevd loads modules by name, and would load real ones.
    for capability in _UNWANTED.values():
        with contextlib.suppress(PermissionError):
            give_up(capability)


def mount_proc(*, own_user: bool) -> None:
    """Mount a /proc for the PID namespace of the caller, whose settings of the whole computer are read-only.

    In a user namespace of its own the computer's settings belong to somebody else. Where /proc is masked, as in
    containers, the outer one stays, which works, too.
    """
    with contextlib.suppress(OSError):
        mount("proc", "/proc", "proc", MountFlag.NO_SUID | MountFlag.NO_DEVICES | MountFlag.NO_EXEC)
    if own_user:
        return
    flags = MountFlag.NO_SUID | MountFlag.NO_DEVICES | MountFlag.NO_EXEC
    for name in _COMPUTERS:
        path = f"/proc/{name}"
        with contextlib.suppress(FileNotFoundError):
            mount(path, path, flags=MountFlag.BIND | MountFlag.RECURSIVE)
            mount("", path, flags=MountFlag.BIND | MountFlag.REMOUNT | MountFlag.READ_ONLY | flags)


def _unshare() -> bool:
    """Leave the namespaces; True if that needed a user namespace."""
    if os.geteuid() == 0:
        with contextlib.suppress(PermissionError):
            if not _quiet_network():
                unshare(Namespaces.NETWORK)
            unshare(Namespaces.MOUNT | Namespaces.PID | _OWN)
            return False
    user, group = os.geteuid(), os.getegid()
    try:
        unshare(Namespaces.USER | Namespaces.MOUNT | Namespaces.NETWORK | Namespaces.PID | _OWN)
        Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
        Path("/proc/self/gid_map").write_text(f"0 {group} 1", encoding="ascii")
        Path("/proc/self/uid_map").write_text(f"0 {user} 1", encoding="ascii")
    except OSError as error:
        raise SandboxError(
            f"namespaces are not allowed here ({error.strerror}): a private /sys needs root, or user namespaces "
            "for this user (sysctl user.max_user_namespaces, kernel.unprivileged_userns_clone, "
            "kernel.apparmor_restrict_unprivileged_userns; in a container: its seccomp profile)"
        ) from error
    return True


def _quiet_network() -> bool:
    """Enter a new network namespace that another user namespace owns; False if that is not possible.

    The kernel sends the real devices' uevents to the network namespaces of the initial user namespace too.
    """
    made, tell = os.pipe()
    stay, end = os.pipe()
    child = os.fork()
    if not child:
        os.close(end)
        with contextlib.suppress(OSError):
            unshare(Namespaces.USER | Namespaces.NETWORK)
            os.write(tell, b"1")
            os.read(stay, 1)
        os._exit(0)
    os.close(tell)
    try:
        if not os.read(made, 1):
            return False
        with Path(f"/proc/{child}/ns/net").open("rb") as network:
            enter_namespace(network.fileno(), Namespaces.NETWORK)
    except OSError:
        return False
    finally:
        for descriptor in (made, stay, end):
            os.close(descriptor)
        os.waitpid(child, 0)
    return True


def _loopback_up() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe, contextlib.suppress(OSError):
        fcntl.ioctl(probe, _SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", _IFF_UP))


def _private_run(directory: Path) -> int:
    """Mount an empty /run with a lock directory; returns the socket in it on which the machine listens."""
    real = os.open("/run", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    mount("tmpfs", "/run", "tmpfs", MountFlag.NO_SUID | MountFlag.NO_DEVICES, "mode=0755")
    lock = Path("/run/lock")
    lock.mkdir()
    lock.chmod(0o1777)
    if Path(f"/proc/self/fd/{real}/user").is_dir():
        Path("/run/user").mkdir()
        mount(f"/proc/self/fd/{real}/user", "/run/user", flags=MountFlag.BIND | MountFlag.RECURSIVE)
    os.close(real)
    directory.mkdir(parents=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    listener.bind(str(directory / "control"))
    listener.listen(socket.SOMAXCONN)
    return listener.detach()


def _share_locks(directory: Path) -> None:
    """Share /run/lock with the system's other commands."""
    directory.mkdir(parents=True, exist_ok=True)
    directory.chmod(0o1777)
    mount(str(directory), "/run/lock", flags=MountFlag.BIND)


def _keep_sys() -> int:
    """Make the real /sys read-only; returns a descriptor of it, for what is bound into the emulated one."""
    real = os.open("/sys", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        make_read_only("/sys")
    except OSError as error:
        # Before Linux 5.12 it cannot be done for a whole tree. EINVAL: /sys is not a mount point.
        if error.errno not in (errno.ENOSYS, errno.EINVAL):
            raise
    return real


def _bind_real(real: int, bindings: Iterable[str]) -> None:
    """Bind the real entries over their placeholders."""
    for path in bindings:
        try:
            mount(f"/proc/self/fd/{real}/{path}", f"/sys/{path}", flags=MountFlag.BIND | MountFlag.RECURSIVE)
        except OSError as error:
            # A real device may vanish at any time.
            if error.errno != errno.ENOENT:
                raise


def _private_dev() -> None:
    """Mount a /dev with the harmless devices, the terminals and nothing else.

    The nodes are new ones where that is allowed: a udevd changes the permissions of those it finds. Elsewhere the
    real ones are bound read-only, which does not restrict their use.
    """
    real = os.open("/dev", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    mount("tmpfs", "/dev", "tmpfs", MountFlag.NO_SUID, "mode=0755")
    for name in (*DEVICES, *_terminals()):
        source = Path(f"/proc/self/fd/{real}/{name}")
        if source.exists():
            _device(source, Path("/dev", name))
    for name, text in (("fd", ""), ("stdin", "/0"), ("stdout", "/1"), ("stderr", "/2")):
        Path("/dev", name).symlink_to(f"/proc/self/fd{text}")
    Path("/dev/pts").mkdir()
    mount(f"/proc/self/fd/{real}/pts", "/dev/pts", flags=MountFlag.BIND | MountFlag.RECURSIVE)
    Path("/dev/shm").mkdir()
    mount("tmpfs", "/dev/shm", "tmpfs", MountFlag.NO_SUID | MountFlag.NO_DEVICES, "mode=1777")
    os.close(real)


def _terminals() -> set[str]:
    """Consoles that the command talks to, if they are not below /dev/pts."""
    names = set()
    for descriptor in range(3):
        with contextlib.suppress(OSError):
            name = os.ttyname(descriptor).removeprefix("/dev/")
            if "/" not in name and name not in DEVICES:
                names.add(name)
    return names


def _device(source: Path, target: Path) -> None:
    found = source.stat()
    try:
        os.mknod(target, stat.S_IFCHR | 0o600, found.st_rdev)
        target.chmod(stat.S_IMODE(found.st_mode))
        with target.open("rb"):
            pass
    except PermissionError:
        target.unlink(missing_ok=True)
        target.touch()
        mount(str(source), str(target), flags=MountFlag.BIND)
        mount("", str(target), flags=MountFlag.BIND | MountFlag.REMOUNT | MountFlag.READ_ONLY | MountFlag.NO_SUID)
    except OSError:
        # No terminal, no medium: the node is right all the same.
        pass
