"""The control socket of a machine."""

import errno
import random
import re
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from apmatrix.config import load, parse
from apmatrix.emulation import Emulation
from apmatrix.service.client import Client
from apmatrix.service.errors import ControlError
from apmatrix.service.operations import OPERATIONS
from apmatrix.service.protocol.guests import ListGuests, StartGuest, StopGuest
from apmatrix.service.protocol.machine import GetLog, GetStatus
from apmatrix.service.protocol.matrix import GetMatrix
from apmatrix.service.server import MachineServer

NESTED = Path(__file__).parents[2] / "examples/nested.toml"
FILE = '[[lpar]]\nname = "lpar"\n'


class Stopped(threading.Event):
    """Notes what has arrived at the client's end when the machine is told to end."""

    def __init__(self, client):
        super().__init__()
        self.client = client
        self.arrived = None

    def set(self):
        self.arrived = self.client.recv(100, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        super().set()


def test_who_asks_for_the_end_is_answered_before_it_comes():
    ours, theirs = socket.socketpair()
    with ours, Emulation.start(parse(FILE, "machine.toml")) as emulation:
        server = MachineServer(emulation)
        server.stopped = Stopped(ours)
        server.serve(theirs)
        ours.sendall(b'{"op": "stop-machine"}\n')
        assert server.stopped.wait(10)
        assert server.stopped.arrived == b'{"answer":"result","result":null}\n'


def test_the_machine_ends_although_nobody_waits_for_the_answer():
    ours, theirs = socket.socketpair()
    with Emulation.start(parse(FILE, "machine.toml")) as emulation:
        server = MachineServer(emulation)
        ours.sendall(b'{"op": "stop-machine"}\n')
        ours.close()
        server.serve(theirs)
        assert server.stopped.wait(10)


def test_what_has_just_gone_ends_no_connection(monkeypatch):
    def look(*_):
        raise FileNotFoundError(errno.ENOENT, "No such file or directory", "devices/vfio_ap/matrix")

    monkeypatch.setitem(OPERATIONS, GetMatrix, look)
    ours, theirs = socket.socketpair()
    with ours, Emulation.start(parse(FILE, "machine.toml")) as emulation:
        MachineServer(emulation).serve(theirs)
        client = Client(ours)
        with pytest.raises(ControlError, match=r"^request get-matrix: .*No such file .*: 'devices/vfio_ap/matrix'$"):
            client.ask(GetMatrix())
        assert client.ask(ListGuests()) == ()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("other", "guest kvm1/other is not running"),
        ("nobody", "there is no guest nobody: the guests are kvm1/guest1, kvm1/guest1/guest2, kvm1/other"),
    ],
)
def test_who_does_not_run_cannot_be_stopped(name, said):
    ours, theirs = socket.socketpair()
    with ours, Emulation.start(load(NESTED)) as emulation:
        MachineServer(emulation).serve(theirs)
        client = Client(ours)
        client.ask(StopGuest("other"))
        with pytest.raises(ControlError, match=f"^{said}$"):
            client.ask(StopGuest(name))


ROUNDS = 40
REFUSALS = re.compile("guest kvm1/(guest1|other) (is already running|is not running(: apmatrix guest start .*)?)")


def commands(server, seed):
    """What one administrator does, and those of the answers that are no success."""
    choose = random.Random(seed)
    ours, theirs = socket.socketpair()
    client, errors = Client(ours), []
    with ours:
        server.serve(theirs)
        for _ in range(ROUNDS):
            guest = choose.choice(("kvm1/guest1", "kvm1/other"))
            requests = StartGuest(guest), StopGuest(guest), ListGuests(), GetMatrix(), GetStatus(), GetLog(guest)
            try:
                client.ask(choose.choice(requests))
            except ControlError as error:
                errors.append(str(error))
    return errors


def test_several_administrators_at_once():
    """Each command succeeds, or is refused for what the others have done."""
    with Emulation.start(load(NESTED)) as emulation:
        server = MachineServer(emulation)
        with ThreadPoolExecutor(6) as pool:
            errors = [error for found in pool.map(lambda seed: commands(server, seed), range(6)) for error in found]
        assert [error for error in errors if not REFUSALS.fullmatch(error)] == []
        for guest in emulation.guests():
            assert (guest.vm is None) == (guest.system is None)
