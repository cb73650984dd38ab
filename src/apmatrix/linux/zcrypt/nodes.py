"""zcrypt device nodes: ``/dev/z90crypt``, and extra nodes with masks of their own (hardware.md 5.2).

A face serves them to programs: it opens a node, and passes the programs' calls on to the :class:`ZcryptFile`.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, ClassVar, Final, Literal

from apmatrix.linux.core import AttributeGroup, DeviceNode, KObject, Link, Written
from apmatrix.linux.zcrypt import ioctls
from apmatrix.linux.zcrypt.byteorder import ByteOrder
from apmatrix.linux.zcrypt.memory import UserMemory, UserSpace
from apmatrix.linux.zcrypt.perms import Permissions
from apmatrix.rules.findings import Holder
from apmatrix.rules.refusals import Exists, Failed
from apmatrix.rules.text import BLANKS, written_mask

if TYPE_CHECKING:
    from apmatrix.linux.ap import ApBus
    from apmatrix.linux.core import Host, Task
    from apmatrix.linux.core.attributes import AnyGroup
    from apmatrix.linux.zcrypt.zcrypt import Zcrypt

MAJOR: Final = 250
"""Major number of the extra nodes; the real kernel takes a free one."""

MISC_MAJOR, DEFAULT_MINOR = 10, 61
MOST_NODES: Final = 256
LONGEST_NAME: Final = 31

MaskName = Literal["ioctls", "adapters", "domains", "administered"]

NODE: AttributeGroup[ZcryptNode] = AttributeGroup()


def _declare_mask(file: str, field: MaskName) -> None:
    """A mask attribute of a node, with the grammar of the bus masks."""

    @NODE.show(file)
    def show(node: ZcryptNode) -> str:
        return f"{getattr(node.permissions, field)}\n"

    @NODE.store(file)
    def store(node: ZcryptNode, value: Written) -> None:
        setattr(node.permissions, field, written_mask(value.text, getattr(node.permissions, field)))


_declare_mask("ioctlmask", "ioctls")
_declare_mask("apmask", "adapters")
_declare_mask("aqmask", "domains")
_declare_mask("admask", "administered")


class MiscNode(DeviceNode):
    """A device of the class misc."""

    def __init__(self, host: Host, name: str, minor: int, mode: int, *, device_name: str | None = None) -> None:
        super().__init__(host, "misc", name, (MISC_MAJOR, minor), mode)
        self.device_name = device_name or name

    def register(self) -> None:
        """Add the device to the tree and send a uevent."""
        self.sysfs.place("devices/virtual/misc", self.name, self)
        self.sysfs.place("class/misc", self.name, Link(self.path))
        self.uevent("add")


class DefaultNode(MiscNode):
    """``/dev/z90crypt``: its masks are the bus's."""

    def __init__(self, host: Host, bus: ApBus) -> None:
        super().__init__(host, "z90crypt", DEFAULT_MINOR, 0o666)
        self._bus = bus
        self.register()

    @property
    def permissions(self) -> Permissions:
        """All ioctls, and the queues that the bus masks leave to the host."""
        return Permissions.of_the_bus(self._bus.apmask, self._bus.aqmask)


class ZcryptNode(DeviceNode):
    """A node made by ``/sys/class/zcrypt/create``: nothing is allowed until its masks say so."""

    GROUPS: ClassVar[tuple[AnyGroup, ...]] = (*DeviceNode.GROUPS, NODE)

    def __init__(self, host: Host, name: str, minor: int) -> None:
        super().__init__(host, "zcrypt", name, (MAJOR, minor), 0o600)
        self.permissions = Permissions()


AnyNode = DefaultNode | ZcryptNode

CLASS: AttributeGroup[ZcryptNodes] = AttributeGroup()


def _name(value: Written) -> str:
    """The name that was written, as the kernel takes it: what is too long is cut off."""
    return value.text.lstrip(BLANKS)[:LONGEST_NAME].rstrip(BLANKS)


@CLASS.store("create", mode=0o600)
def create(nodes: ZcryptNodes, value: Written) -> None:
    """Create a node; without a name the kernel chooses one."""
    nodes.create(_name(value))


@CLASS.store("destroy", mode=0o600)
def destroy(nodes: ZcryptNodes, value: Written) -> None:
    """Remove the node of that name."""
    nodes.destroy(_name(value))


class ZcryptNodes(KObject):
    """``/sys/class/zcrypt``: ``nodes`` holds the extra nodes by name, ``default`` is ``/dev/z90crypt``.

    An extra node may have a name that is taken in /dev, such as ``z90crypt``: it is a device without a file then.
    """

    GROUPS: ClassVar[tuple[AnyGroup, ...]] = (CLASS,)

    def __init__(self, host: Host, zcrypt: Zcrypt) -> None:
        super().__init__(host.sysfs, "class", "zcrypt")
        self._host = host
        self._zcrypt = zcrypt
        host.sysfs.place("class", "zcrypt", self)
        self.default = DefaultNode(host, zcrypt.bus)
        self.nodes: dict[str, ZcryptNode] = {}

    @property
    def in_dev(self) -> dict[str, AnyNode]:
        """The nodes in /dev, by name."""
        return {**self.nodes, self.default.name: self.default}

    def open(self, name: str, order: ByteOrder = ByteOrder.LITTLE) -> ZcryptFile:
        """Open a node for a program of that byte order; Refused ENOENT."""
        with self._host.kernel:
            node = self.in_dev.get(name)
            if node is None:
                raise Failed(f"there is no node {name!r}", number=errno.ENOENT)
            return ZcryptFile(self._zcrypt, node, order)

    def create(self, name: str) -> ZcryptNode:
        """Create a node, with a chosen name if ``name`` is empty; Refused EEXIST, ENOSPC if there are 256."""
        name = name.replace("/", "!")
        self._check_free(name)
        taken = {node.minor for node in self.nodes.values()}
        minor = next((number for number in range(MOST_NODES) if number not in taken), None)
        if minor is None:
            raise Failed(f"there are already {MOST_NODES} zcrypt nodes", number=errno.ENOSPC)
        if not name:
            name = f"zcrypt_{minor}"
            self._check_free(name)
        node = ZcryptNode(self._host, name, minor)
        self.nodes[name] = node
        self.sysfs.place(node.parent_path, name, node)
        self.add_child(name, Link(node.path))
        node.uevent("add")
        return node

    def _check_free(self, name: str) -> None:
        """Refuse (EEXIST) a name that is taken in the directory of the class, be it by an attribute."""
        if name and self.lookup(name) is not None:
            raise Exists(f"node {name} already exists", holder=Holder("node", name), remedy="choose another name")

    def destroy(self, name: str) -> None:
        """Remove a node; its open files keep working. Refused ENOENT."""
        node = self.nodes.get(name)
        if node is None:
            raise Failed(f"there is no node {name!r} to destroy", number=errno.ENOENT)
        del self.nodes[name]
        node.alive = False
        self.sysfs.drop(node.parent_path, name)
        self.remove_child(name)
        node.uevent("remove")


class ZcryptFile:
    """An open node, for a program whose structures are in ``order``.

    All errors are Refused with the errno that the program gets. A node that is destroyed keeps working for programs
    that have it open, with its masks, as in the kernel. Several threads may call at the same time.
    """

    def __init__(self, zcrypt: Zcrypt, node: AnyNode, order: ByteOrder) -> None:
        self._zcrypt = zcrypt
        self._node = node
        self._order = order
        node.opens += 1
        zcrypt.opens += 1

    def ioctl(self, number: int, argument: int, memory: UserMemory, task: Task | None = None) -> int:
        """Do an ioctl and wait for its end; returns 0. ``argument`` is an address in ``memory``.

        A signal for ``task`` ends the wait with EINTR.
        """
        user = UserSpace(memory, self._order)
        ioctls.handle(number, ioctls.IoctlCall(self._zcrypt, self._node.permissions, user, argument, task))
        return 0

    def read(self, _length: int, _task: Task | None = None) -> bytes:
        """Refuse to read: EPERM."""
        raise Failed("zcrypt nodes cannot be read", number=errno.EPERM)

    def write(self, _data: bytes) -> int:
        """Refuse to write: EPERM."""
        raise Failed("zcrypt nodes cannot be written", number=errno.EPERM)

    def close(self) -> None:
        """Close the file; to be called once."""
        with self._zcrypt.bus.kernel:
            self._node.opens -= 1
            self._zcrypt.opens -= 1
