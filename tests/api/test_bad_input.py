"""What makes no sense in Python is one sentence, and a machine that ended is gone."""

import gc
import inspect
import re
import threading
import weakref
from pathlib import Path
from typing import Any

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
            "SysfsFiles.write() argument data must be str or bytes, not int",
        ),
        (lambda linux: linux.crypto.random(-1), "-1 random bytes cannot be had"),
        (
            lambda linux: linux.run("ls /sys"),
            "Linux.run() argument command must be a list of str or PathLike, not str",
        ),
        (lambda linux: linux.set_profile(adapters="x"), "argument adapters: 'x' is not a number"),
        (lambda linux: linux.cpu.nqap("05.0004", -1, b""), "LevelCpu.nqap() argument message_id is -1"),
        (lambda linux: linux.cpu.dqap("05.0004", -1), "LevelCpu.dqap() argument length is -1"),
        (lambda linux: linux.cpu.tapq(("5", "4")), "LevelCpu.tapq() argument apqn[0] must be int, not str"),
        (lambda linux: linux.run([]), "the command has no words"),
    ],
)
def test_what_makes_no_sense_is_a_sentence(machine, work, said):
    with pytest.raises((ValueError, TypeError)) as caught:
        work(machine.lpar())
    assert str(caught.value).startswith(said)


def public_functions():
    """Every argument of a public function or method, and of the constructors of what users construct."""
    for name in apmatrix.__all__:
        kind = getattr(apmatrix, name)
        members = dir(kind) if inspect.isclass(kind) and name not in HANDED_OUT else ()
        for member in members:
            function = getattr(inspect.getattr_static(kind, member), "__func__", inspect.getattr_static(kind, member))
            constructs = member == "__init__" and name in CONSTRUCTED
            if inspect.isfunction(function) and (constructs or not member.startswith("_")):
                for parameter in inspect.signature(function).parameters:
                    if parameter not in ("self", "cls") and (name, member) not in SET_OPERATIONS:
                        yield pytest.param(kind, function, parameter, id=f"{name}.{member}-{parameter}")


CONSTRUCTED = {
    *("Machine", "AdapterConfig", "MasterKeyConfig", "LparConfig", "GuestConfig", "HostConfig"),
    *("Mask", "Matrix", "Instruction", "Registers", "FlatMemory"),
}
"""What users make themselves. An Apqn is a tuple: it is checked where it is used."""

HANDED_OUT = {
    *("CcaReply", "ConditionCode", "Configuration", "Delivery", "Explanation", "Finding", "Holding", "LogEntry"),
    *("MatrixView", "Memory", "Opcode", "QueueInfo", "QueueStatus", "Refusal", "ResponseCode", "Step", "Uevent"),
    *(
        name
        for name in apmatrix.__all__
        if inspect.isclass(kind := getattr(apmatrix, name)) and issubclass(kind, Exception)
    ),
}
"""Results and errors, enumerations, and the protocol that a user's own class may have."""

SET_OPERATIONS = {
    *(("Mask", "overlaps"), ("Matrix", "queues_beyond"), ("Matrix", "shared"), ("Matrix", "shares_queues")),
    *(("FlatMemory", name) for name in ("check_store", "indicator", "read", "write")),
}
"""What the machine itself calls for every instruction."""

UNTYPED: Any = apmatrix
"""As a caller without a type checker has it."""

FITTING = {
    "str": "text",
    "int": 5,
    "bytes": b"",
    "bool": False,
    "str | bytes": "5",
    "AnyApqn": "05.0004",
    "AnyPath": "bus",
    "State": "online",
    "Sequence[str | os.PathLike[str]]": ["true"],
    "SetName": "AES",
    "RsaKey": apmatrix.RsaKey(*[3] * 7),
    "Opcode": apmatrix.Opcode.NQAP,
    "Instruction": apmatrix.Instruction(apmatrix.Opcode.NQAP),
    "Registers": apmatrix.Registers(),
}


@pytest.mark.parametrize(("kind", "function", "parameter"), list(public_functions()))
def test_an_argument_of_a_wrong_type_is_named(kind, function, parameter):
    for wrong in (object(), [object()], {object(): object()}):
        given = {
            name: kind
            if name == "cls"
            else object.__new__(kind)
            if name == "self"
            else FITTING.get(str(each.annotation), "1")
            for name, each in inspect.signature(function).parameters.items()
            if each.default is each.empty
        }
        if parameter == "numbers" and function.__name__ == "of":
            with pytest.raises(TypeError, match=r"argument numbers\[0\] must be int, not"):
                UNTYPED.Mask.of(wrong)
            continue
        with pytest.raises(TypeError) as caught:
            function(**(given | {parameter: wrong}))
        assert re.fullmatch(rf"[\w.]+\(\) argument {parameter}(\[.+\])* must be .*, not \w+", str(caught.value))


CARD = UNTYPED.AdapterConfig(5, "CEX8C")


@pytest.mark.parametrize(
    ("work", "said"),
    [
        (
            lambda: UNTYPED.Machine([CARD], [UNTYPED.LparConfig("a"), "b"]),
            "Machine() argument lpars[1] must be LparConfig, not str",
        ),
        (lambda: UNTYPED.Machine("5"), "Machine() argument adapters must be an iterable of AdapterConfig, not str"),
        (
            lambda: UNTYPED.Machine.from_text(Path("machine.toml")),
            "Machine.from_text() argument text must be str, not PosixPath",
        ),
        (lambda: UNTYPED.LparConfig("a", host={}), "LparConfig() argument host must be HostConfig, not dict"),
        (lambda: UNTYPED.Mask.of(5, "6"), "Mask.of() argument numbers[1] must be int, not str"),
        (lambda: UNTYPED.Matrix([5]), "Matrix() argument apm must be Mask, not list"),
        (lambda: UNTYPED.AdapterConfig(5), "missing 1 required positional argument: 'type'"),
    ],
)
def test_what_is_of_a_wrong_type_is_named_where_it_is(work, said):
    with pytest.raises(TypeError) as caught:
        work()
    assert str(caught.value).endswith(said)


def test_what_can_be_iterated_once_is_not_used_up():
    lpars = (apmatrix.LparConfig(name, adapters=(number for number in (5,)), usage_domains=4) for name in ("a",))
    with apmatrix.Machine(
        (apmatrix.AdapterConfig(number, "CEX8C") for number in (5, 6)), lpars, virtual_time=True
    ) as machine:
        assert machine.lpar("a").matrix.apm == apmatrix.Mask.of(5)


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
