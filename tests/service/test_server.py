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
from apmatrix.faces.lines import ControlError, Lines
from apmatrix.service.operations import OPERATIONS
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
        Lines(ours).send({"op": "down"})
        assert server.stopped.wait(10)
        assert server.stopped.arrived == b'{"ok": null}\n'


def test_the_machine_ends_although_nobody_waits_for_the_answer():
    ours, theirs = socket.socketpair()
    with Emulation.start(parse(FILE, "machine.toml")) as emulation:
        server = MachineServer(emulation)
        ours.sendall(b'{"op": "down"}\n')
        ours.close()
        server.serve(theirs)
        assert server.stopped.wait(10)


def test_what_has_just_gone_ends_no_connection(monkeypatch):
    def look(*_):
        raise FileNotFoundError(errno.ENOENT, "No such file or directory", "devices/vfio_ap/matrix")

    monkeypatch.setitem(OPERATIONS, "show", look)
    ours, theirs = socket.socketpair()
    with ours, Emulation.start(parse(FILE, "machine.toml")) as emulation:
        MachineServer(emulation).serve(theirs)
        lines = Lines(ours)
        with pytest.raises(ControlError, match=r"^request show: .*No such file .*: 'devices/vfio_ap/matrix'$"):
            lines.request({"op": "show"})
        assert lines.request({"op": "guest", "action": "list"}) == []


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("other", "guest kvm1/other does not run"),
        ("nobody", "no VM nobody runs on kvm1; apmatrix guest list shows what does"),
    ],
)
def test_who_does_not_run_cannot_be_stopped(name, said):
    ours, theirs = socket.socketpair()
    with ours, Emulation.start(load(NESTED)) as emulation:
        MachineServer(emulation).serve(theirs)
        lines = Lines(ours)
        lines.request({"op": "guest", "action": "stop", "name": "other"})
        with pytest.raises(ControlError, match=f"^{said}$"):
            lines.request({"op": "guest", "action": "stop", "name": name})


ROUNDS = 40
REFUSALS = re.compile(
    "guest kvm1/(guest1|other) (runs already|does not run)"
    "|no Linux system kvm1/(guest1|other) runs in this machine; there is .*"
)


def commands(server, seed):
    """What one administrator does, and those of the answers that are no success."""
    choose = random.Random(seed)
    ours, theirs = socket.socketpair()
    lines, errors = Lines(ours), []
    with ours:
        server.serve(theirs)
        for _ in range(ROUNDS):
            guest = choose.choice(("kvm1/guest1", "kvm1/other"))
            lines.send(
                choose.choice(
                    (
                        {"op": "guest", "action": "start", "name": guest},
                        {"op": "guest", "action": "stop", "name": guest},
                        {"op": "guest", "action": "list"},
                        {"op": "show"},
                        {"op": "status"},
                        {"op": "log", "system": guest},
                    )
                )
            )
            answer = lines.receive()
            assert answer is not None, "the machine ended the connection"
            if "error" in answer:
                errors.append(answer["error"])
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
