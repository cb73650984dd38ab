"""A small tree and its mount."""

import threading

import pytest

from apmatrix.cards import RealClock
from apmatrix.linux.core import AttributeGroup, ChangeKind, Kernel, KObject, Link, Sysfs
from apmatrix.rules.refusals import Failed, Interrupted

from .place import Place, missing

GROUP: "AttributeGroup[Thing]" = AttributeGroup()


@GROUP.show()
def value(thing):
    return thing.text


@GROUP.store("value")
def set_value(thing, written):
    thing.text = written.text
    thing.taken.append(written.raw)


@GROUP.show()
def fixed(thing):
    return "0123456789\n" * 500


@GROUP.store("refuse")
def refuse(thing, written):
    raise Failed("refused", number=int(written.text))


@GROUP.store("wait")
def wait(thing, written):
    thing.waiting.set()
    thing.kernel.wait_until(lambda: thing.released or written.task.signalled)
    if written.task.signalled:
        raise Interrupted("a signal came")


def is_slow(thing):
    return thing.slow


@GROUP.show_to(when=is_slow)
def slow(thing, task):
    thing.waiting.set()
    thing.kernel.wait_until(lambda: thing.released or task.signalled)
    if task.signalled:
        raise Interrupted("a signal came")
    return thing.text


@GROUP.store("make")
def make(thing, written):
    thing.add_child(written.line, Thing(thing.sysfs, thing.path, written.line, thing.kernel))


@GROUP.store("drop")
def drop(thing, written):
    child = thing.children[written.line]
    child.alive = False
    thing.remove_child(written.line)


class Thing(KObject):
    GROUPS = (GROUP,)

    def __init__(self, sysfs, parent, name, kernel):
        super().__init__(sysfs, parent, name)
        self.kernel = kernel
        self.text = "begin\n"
        self.taken = []
        self.waiting = threading.Event()
        self.released = False
        self.slow = False  # it has a file whose readers wait

    def notify(self, name):
        with self.kernel:
            self.entry_changed(ChangeKind.NOTIFY, name)

    def release(self):
        with self.kernel:
            self.released = True
            self.kernel.wake()


@pytest.fixture
def thing():
    kernel = Kernel(RealClock())
    sysfs = Sysfs(kernel)
    thing = Thing(sysfs, "devices", "thing", kernel)
    sysfs.place("devices", "thing", thing)
    sysfs.place("bus/some/devices", "thing", Link("devices/thing"))
    return thing


@pytest.fixture
def place(thing):
    if reason := missing():
        pytest.skip(reason)
    place = Place(thing.sysfs)
    yield place
    thing.release()
    place.close()
