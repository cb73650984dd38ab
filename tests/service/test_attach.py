"""``attach`` with descriptors that no sandbox has: a sentence, and nothing stays."""

import os
import socket
import threading
from pathlib import Path

import pytest

from apmatrix.config import parse
from apmatrix.emulation import Emulation
from apmatrix.service.client import Client
from apmatrix.service.errors import ControlError, ExitCode
from apmatrix.service.protocol.machine import GetStatus
from apmatrix.service.protocol.session import Attach
from apmatrix.service.server import MachineServer

FILE = '[[adapter]]\nid = 5\ntype = "CEX8A"\n[[lpar]]\nname = "lpar"\nadapters = "5"\nusage_domains = "4"\n'
UEVENTS = (socket.AF_NETLINK, socket.SOCK_RAW, 15)


@pytest.fixture
def client(caplog):
    with Emulation.start(parse(FILE, "machine.toml")) as emulation:
        ours, theirs = socket.socketpair()
        MachineServer(emulation).serve(theirs)
        client = Client(ours)
        client.ask(GetStatus())  # its thread runs
        yield client
        ours.close()
    assert not [record for record in caplog.records if record.exc_info]


@pytest.fixture
def own(tmp_path):
    """Makes descriptors by name."""
    made = []

    def make(name):
        descriptor = MAKERS[name](tmp_path)
        made.append(descriptor)
        return descriptor

    yield make
    for descriptor in made:
        os.close(descriptor)


def listener(directory):
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(directory / f"control{len(list(directory.iterdir()))}"))
        made.listen(1)
        return made.detach()


def fuse(_directory):
    try:
        return os.open("/dev/fuse", os.O_RDWR)
    except OSError as error:
        pytest.skip(f"/dev/fuse cannot be opened: {error.strerror}")


MAKERS = {
    "null": lambda _: os.open("/dev/null", os.O_RDWR),
    "path": lambda directory: os.open(directory, os.O_PATH),
    "directory": lambda directory: os.open(directory, os.O_RDONLY),
    "socket": lambda _: socket.socket(socket.AF_UNIX).detach(),
    "uevents": lambda _: socket.socket(*UEVENTS).detach(),
    "route": lambda _: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0).detach(),
    "listener": listener,
    "fuse": fuse,
}


def resources():
    descriptors = {path.name for path in Path("/proc/self/fd").iterdir()}
    return len(descriptors), {thread.name for thread in threading.enumerate()}


@pytest.mark.parametrize(
    "names",
    [
        "null null null null null null null",
        "null null null null uevents listener directory",
        "socket socket socket socket uevents listener directory",
        "fuse null fuse null uevents listener directory",
        "fuse fuse fuse fuse uevents listener directory",
        "fuse null fuse null route listener directory",
        "fuse null fuse null null listener directory",
        "fuse null fuse null uevents socket directory",
        "fuse null fuse null uevents uevents directory",
        "fuse null fuse null uevents listener null",
        "path path path path path path path",
        "fuse fuse",
        "",
    ],
)
def test_unsuitable_descriptors_are_refused(client, own, names):
    descriptors = [own(name) for name in names.split()]
    before = resources()
    for _ in range(3):
        with pytest.raises(ControlError) as caught:
            client.ask(Attach(), descriptors)
        assert caught.value.code == ExitCode.UNREADABLE
        assert "descriptors" in str(caught.value)
        assert resources() == before
    assert client.ask(GetStatus()).sessions == 0
