"""The control socket of a machine."""

import errno
import os
import random
import re
import select
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from apmatrix.config import load, parse
from apmatrix.emulation import Emulation
from apmatrix.service import server as server_module
from apmatrix.service.client import Client, connect
from apmatrix.service.connection import Connection
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
        ours.shutdown(socket.SHUT_RD)
        server.serve(theirs)
        assert server.stopped.wait(10)
    ours.close()


def test_a_request_that_the_client_has_given_up_is_not_carried_out():
    """Such as a ``down`` that was interrupted while the machine was stopped by a signal."""
    ours, theirs = socket.socketpair()
    with Emulation.start(parse(FILE, "machine.toml")) as emulation:
        server = MachineServer(emulation)
        ours.sendall(b'{"op": "stop-machine"}\n')
        ours.close()
        connection = Connection(server, theirs, None)
        connection.run()
        assert not server.stopped.is_set()


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


@pytest.fixture
def listening(tmp_path):
    """A server that listens at a path."""
    with Emulation.start(parse(FILE, "machine.toml")) as emulation:
        server = MachineServer(emulation)
        server.listen_at(tmp_path / "control")
        yield server, tmp_path / "control"
        server.close()


def answer(path):
    """What a client is told: the answer, or the exit code and the sentence."""
    with connect(path) as client:
        try:
            return str(client.ask(ListGuests()))
        except ControlError as error:
            return f"{error.code:d}: {error}"


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.ECONNABORTED])
def test_a_machine_goes_on_after_it_could_not_accept_a_client(tmp_path, number):
    class Scarce(socket.socket):
        failures = 3

        def accept(self):
            if self.failures and self.getblocking():
                select.select([self], [], [])  # accept would find somebody
                self.failures -= 1
                raise OSError(number, os.strerror(number))
            return super().accept()

    listener = Scarce(socket.AF_UNIX)
    listener.bind(str(tmp_path / "control"))
    listener.listen()
    with Emulation.start(parse(FILE, "machine.toml")) as emulation:
        server = MachineServer(emulation)
        server.listen(listener)
        answers = [answer(tmp_path / "control") for _ in range(10)]
        server.close()
    refusal = f"the machine cannot serve another client now: {os.strerror(number)}; try again when commands"
    refused = 0 if number == errno.ECONNABORTED else 3
    assert answers == [f"3: {refusal} on it have ended"] * refused + ["()"] * (10 - refused)


def test_a_client_for_whom_there_is_no_thread_is_refused_and_the_next_one_is_served(listening, monkeypatch):
    _, path = listening

    def start(_thread):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start)
        assert answer(path).startswith("3: the machine cannot serve another client now: can't start new thread")
    assert answer(path) == "()"


def test_connections_are_limited(tmp_path, monkeypatch):
    monkeypatch.setattr(server_module, "MOST_CONNECTIONS", 2)
    with Emulation.start(parse(FILE, "machine.toml")) as emulation:
        server = MachineServer(emulation)
        server.listen_at(path := tmp_path / "control")
        with connect(path) as first, connect(path) as second:
            assert [client.ask(ListGuests()) for client in (first, second)] == [(), ()]
            with connect(path) as third, pytest.raises(ControlError, match="it serves 2 connections already"):
                third.ask(ListGuests())
        server.close()


def test_a_request_that_is_too_long_is_a_sentence_at_both_ends(listening):
    _, path = listening
    with (
        connect(path) as client,
        pytest.raises(ControlError, match="a request may have 1048576 bytes"),
    ):
        client.ask(StartGuest("x" * (1 << 21)))
    with connect(path) as client:
        with pytest.raises(OSError):
            client.connection.sendall(b"x" * (1 << 22))  # the machine ends the connection, and has said why
        assert b"a request may have 1048576 bytes" in client.connection.recv(1000)
