"""How long a client waits: for as long as the machine works on its request, and no longer."""

import os
import signal
import socket
import subprocess
import sys
import threading

import pytest

from apmatrix.config import parse
from apmatrix.emulation import Emulation
from apmatrix.service import client as client_module
from apmatrix.service.client import connect
from apmatrix.service.errors import ControlError, ExitCode
from apmatrix.service.operations import OPERATIONS
from apmatrix.service.protocol.guests import ListGuests
from apmatrix.service.protocol.machine import StopMachine
from apmatrix.service.protocol.matrix import GetMatrix
from apmatrix.service.server import MachineServer

LISTEN_AND_STOP = """
import os, signal, socket, sys
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
listener.listen()
os.kill(os.getpid(), signal.SIGSTOP)
"""


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(client_module, "PATIENCE", 0.01)


def test_a_machine_that_was_stopped_by_a_signal_is_a_sentence(tmp_path):
    path = tmp_path / "cpc1" / "control"
    path.parent.mkdir()
    with subprocess.Popen([sys.executable, "-c", LISTEN_AND_STOP, path]) as process:
        try:
            os.waitpid(process.pid, os.WUNTRACED)
            said = f"^the machine cpc1 does not answer: its process was stopped: kill -CONT {process.pid}$"
            for work in (lambda client: client.ask(StopMachine()), lambda client: client.wait_for_the_end()):
                with connect(path) as client, pytest.raises(ControlError, match=said) as caught:
                    work(client)
                assert caught.value.code is ExitCode.UNREACHABLE
        finally:
            os.kill(process.pid, signal.SIGKILL)


def test_a_machine_that_answers_nobody_is_a_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(client_module, "_PROBE_PATIENCE", 0.01)
    path = tmp_path / "cpc1" / "control"
    path.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        with (
            connect(path) as client,
            pytest.raises(ControlError, match="cpc1 does not answer") as caught,
        ):
            client.ask(ListGuests())
    assert caught.value.code is ExitCode.UNREACHABLE


def test_a_machine_may_work_on_a_request_while_it_answers_others(tmp_path, monkeypatch):
    others = threading.Semaphore(0)

    def work(*_):
        assert others.acquire(timeout=60)
        assert others.acquire(timeout=60)

    class Server(MachineServer):
        def serve(self, connection, system=None):
            others.release()
            return super().serve(connection, system)

    monkeypatch.setitem(OPERATIONS, GetMatrix, work)
    with Emulation.start(parse('[[lpar]]\nname = "lpar"\n', "machine.toml")) as emulation:
        server = Server(emulation)
        server.listen_at(tmp_path / "control")
        with connect(tmp_path / "control") as client, pytest.raises(ControlError, match="does not understand"):
            client.ask(GetMatrix())  # answered with None, which is no matrix, once another client has been there
        server.close()


def test_a_queue_of_waiting_clients_that_is_full_is_a_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(client_module, "_PROBE_PATIENCE", 0.01)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "control"))
        listener.listen(0)
        with (
            connect(tmp_path / "control"),
            pytest.raises(ControlError, match="too many clients") as caught,
        ):
            connect(tmp_path / "control")
    assert caught.value.code is ExitCode.UNREACHABLE
