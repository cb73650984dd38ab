"""The control socket of a machine."""

import socket
import threading

from apmatrix.config import parse
from apmatrix.emulation import Emulation
from apmatrix.faces.lines import Lines
from apmatrix.service.server import MachineServer

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
