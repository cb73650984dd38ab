"""A small driver core: objects with declared attributes, the sysfs tree, uevents, the kernel log, sleeping."""

from apmatrix.linux.core.attributes import PAGE_SIZE, AttributeGroup, Written
from apmatrix.linux.core.eventfd import EventFd
from apmatrix.linux.core.host import Host
from apmatrix.linux.core.ida import LowestFree
from apmatrix.linux.core.log import KernelLog, LogEntry, LogLevel
from apmatrix.linux.core.nodes import DeviceNode
from apmatrix.linux.core.objects import Bus, Device, Driver, KObject
from apmatrix.linux.core.sync import Kernel, Mutex, Task
from apmatrix.linux.core.sysfs import ChangeKind, FixedDirectory, Kind, Link, OpenFile, Stat, Sysfs, TreeChange
from apmatrix.linux.core.uevents import Uevent, UeventStream

__all__ = [
    "PAGE_SIZE",
    "AttributeGroup",
    "Bus",
    "ChangeKind",
    "Device",
    "DeviceNode",
    "Driver",
    "EventFd",
    "FixedDirectory",
    "Host",
    "KObject",
    "Kernel",
    "KernelLog",
    "Kind",
    "Link",
    "LogEntry",
    "LogLevel",
    "LowestFree",
    "Mutex",
    "OpenFile",
    "Stat",
    "Sysfs",
    "Task",
    "TreeChange",
    "Uevent",
    "UeventStream",
    "Written",
]
