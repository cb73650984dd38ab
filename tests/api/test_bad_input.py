"""What makes no sense in Python is one sentence, and a machine that ended is gone."""

import gc
import threading
import weakref

import pytest

import apmatrix
from apmatrix.config import parse
from apmatrix.emulation import Emulation

FILE = """
[[adapter]]
id = 5
type = "CEX8C"
[[lpar]]
name = "kvm1"
adapters = "5"
usage_domains = "4"
"""
UUID = "62177883-f1bb-47f0-914d-32a22e3a8804"


@pytest.fixture
def machine():
    with apmatrix.Machine.from_text(FILE, virtual_time=True) as made:
        yield made


@pytest.mark.parametrize(
    ("work", "said"),
    [
        (lambda linux: linux.start_guest(UUID, "a/b"), "'a/b' cannot name a guest"),
        (lambda linux: linux.start_guest(UUID, ""), "'' cannot name a guest"),
        (lambda linux: linux.start_guest("bogus"), "'bogus' is not the UUID of an mdev"),
        (lambda linux: linux.start_guest(UUID, policy="strict"), "'strict' is not a policy: choose 'linux' or 'prot"),
        (
            lambda linux: linux.sysfs.write("bus/ap/scans", 5),
            "5 cannot be written to bus/ap/scans: give text",
        ),
        (lambda linux: linux.crypto.random(-1), "-1 random bytes cannot be had"),
        (lambda linux: linux.run("ls /sys"), "'ls /sys' is one text: give a list of words"),
        (lambda linux: linux.run([]), "the command has no words"),
    ],
)
def test_what_makes_no_sense_is_a_sentence(machine, work, said):
    with pytest.raises((ValueError, TypeError)) as caught:
        work(machine.lpar())
    assert str(caught.value).startswith(said)


def test_the_states_of_a_card_are_named(machine):
    with pytest.raises(ValueError, match="choose 'online', 'deconfigured' or 'checkstopped'"):
        machine.set_adapter(5, "broken")


def test_errors_about_cards_are_public(machine):
    with pytest.raises(apmatrix.UnknownAdapter):
        machine.set_adapter(77, "online")
    with pytest.raises(apmatrix.AdapterRefused):
        machine.plug(apmatrix.AdapterConfig(5, "CEX8C"))


def test_nothing_of_a_closed_machine_stays():
    emulation = Emulation.start(parse(FILE, "machine.toml"))
    clocks = [thread for thread in threading.enumerate() if thread.name == "apmatrix-clock"]
    gone = weakref.ref(emulation.machine)
    emulation.close()
    del emulation
    for thread in clocks:
        thread.join(60)
        assert not thread.is_alive()
    gc.collect()
    assert gone() is None
