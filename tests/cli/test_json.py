"""Every command that takes ``--json`` prints documents that fit their published schemas, however it ends."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import get_args

import click
import pytest
from jsonschema import Draft202012Validator

from apmatrix.arch import Apqn
from apmatrix.arch.events import AnyEvent, GuestStarted, MdevChanged, WriteRefused
from apmatrix.arch.mask import Mask
from apmatrix.cli.main import COMMANDS, main
from apmatrix.rules.reference import reference
from apmatrix.service.errors import ControlError, ExitCode
from apmatrix.service.protocol.events import Happened, Lost
from apmatrix.service.state import StateDirectory
from support.documents import ROOT
from support.running import KEYS, command, running
from support.schemas import SCHEMAS, document, problems, tables

EXAMPLES = ROOT / "examples"
THREE, INVALID, NESTED = (EXAMPLES / f"{name}.toml" for name in ("three-guests", "invalid-shared-queue", "nested"))
HERE = ("--adapter", 5, "--domain", 4)
GUEST1 = "387ce618-5894-5e8e-a8cd-feb801d9c84b"
BROKEN = """
[[adapter]]
id = 5
type = "CEX8c"
[[lpar]]
name = "kvm1"
adapters = "5"
usage_domains = "4"
[[lpar.guest]]
name = "guest1"
adapters = "5"
domains = "4"
domain = "4"
"""


def commands(words: tuple[str, ...] = (), group: click.Group = main) -> Iterator[tuple[str, ...]]:
    """All commands with ``--json``, by their words."""
    context = click.Context(group)
    for name in group.list_commands(context):
        found = group.get_command(context, name)
        assert found is not None
        if isinstance(found, click.Group):
            yield from commands((*words, name), found)
        elif any("--json" in parameter.opts for parameter in found.params):
            yield (*words, name)


TAKE_JSON = {"-".join(words): words for words in commands()}
WITHOUT = {"boot", "run", "shell"}
"""Commands that print what another program does."""


def test_every_command_that_prints_facts_takes_json():
    assert {words[0] for words in TAKE_JSON.values()} == COMMANDS.keys() - WITHOUT


def test_every_document_has_a_schema():
    assert SCHEMAS.keys() - {"common", "error"} == TAKE_JSON.keys()


@pytest.mark.parametrize("name", SCHEMAS)
def test_the_schemas_are_schemas(name):
    Draft202012Validator.check_schema(SCHEMAS[name])
    assert SCHEMAS[name]["title"] == name


@pytest.mark.parametrize("name", SCHEMAS)
def test_the_page_has_every_field(name):
    page = (ROOT / "docs/json.md").read_text()
    section = page.partition(f"\n## {name}\n")[2].partition("\n## ")[0].strip()
    assert section == "\n\n".join((SCHEMAS[name]["description"], *tables(name)))


def named(given):
    """The words of a command, for the name of its test."""
    return " ".join(str(word).rpartition("/")[2] for word in given) if isinstance(given, tuple) else str(given)


# what commands print when all is well, or something was refused in part

PREPARED: dict[str, list[tuple[object, ...]]] = {
    "fault-remove": [
        ("fault", "add", "adapter=5", "verb=PK", "reply=0x82"),
        ("fault", "add", "lose=gone", "times=1"),
    ],
    "guest-start": [("guest", "stop", "guest1")],
    "key-set": [("key", "load", "aes", "--random", *HERE)],
    "record-stop": [("record", "start", "traffic")],
    "replay-start": [("record", "start", "traffic"), ("record", "stop")],
    "replay-stop": [("record", "start", "traffic"), ("record", "stop"), ("replay", "start", "traffic")],
    "replay-check": [("record", "start", "traffic"), ("record", "stop")],
}
"""What is done before."""

ARGUMENTS: dict[str, tuple[object, ...]] = {
    "adapter-set": (5, "--state", "checkstopped"),
    "demo": (THREE,),
    "explain": ("guest1",),
    "fault-add": ("adapter=5", "verb=PK", "reply=0x82"),
    "fault-remove": (1,),
    "guest-start": ("guest1",),
    "guest-stop": ("guest1",),
    "key-clear": ("aes", *HERE),
    "key-load": ("aes", "--random", *HERE),
    "key-set": ("aes", *HERE),
    "lpar-set": ("kvm1", "--control-domains", "4,0x40"),
    "record-start": ("traffic",),
    "replay-check": ("traffic",),
    "replay-start": ("traffic",),
}
ELSEWHERE = {"down", "events", "key-check", "key-make", "key-protect", "key-reencipher", "up"}
"""Commands whose documents the tests below need more for."""


@pytest.mark.parametrize("kind", sorted(TAKE_JSON.keys() - ELSEWHERE))
def test_a_document_fits_its_schema(machine, kind):
    for words in PREPARED.get(kind, ()):
        command(*words)
    found = document(command(*TAKE_JSON[kind], *ARGUMENTS.get(kind, ()), "--json").stdout)
    assert (found["version"], found["kind"]) == (1, kind)
    assert "error" not in found


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("show", INVALID), 1),
        (("show", NESTED), 0),
        (("explain", NESTED, "guest2"), 1),
        (("explain", THREE, "guest1", "05.00ff"), 1),
        (("demo", INVALID), 1),
        (("example", "nested"), 0),
        (("rule", "MTX-21", "K7", "hardware.md 7.2"), 0),
        (("key", "load", "aes", "--random", "--domain", 7, "--from", "guest2"), 1),
        (("key", "show", "--domain", "4,9"), 1),
    ],
    ids=named,
)
def test_so_does_that_of_a_command_that_did_what_it_could(machine, words, code):
    result = command(*words, "--json", code=code)
    found = document(result.stdout)
    assert found["kind"].startswith(words[0])
    if "error" in found:
        assert (found["error"]["exit_code"], result.stderr) == (code, f"apmatrix: {found['error']['text']}\n")


def test_an_end_that_is_told_by_up(monkeypatch, tmp_path):
    @contextmanager
    def emulation():
        with running(KEYS.replace('aqmask = "-6,-7"', 'aqmask = ["-6,-7", "7"]\n  apmask = "+256"')) as found:
            yield found

    def serve(_start, ready):
        with emulation() as found:
            ready(found)

    monkeypatch.setattr("apmatrix.cli.service._Start.serve", serve)
    found = document(command("up", INVALID, "--foreground", "--json", code=1).stdout)
    (refused,) = found["refused"]
    assert refused["place"] == {"file": "machine.toml", "line": 20, "path": "lpar[0].host.apmask"}
    assert (refused["errno"], refused["rule"]) == ("EINVAL", "BUS-30")


def test_a_machine_is_forgotten():
    StateDirectory.of("keys").make()
    found = document(command("down", "keys", "--forget", "--json").stdout)
    assert found == {"version": 1, "kind": "down", "machine": "keys", "stopped": False, "forgotten": True}


def test_machines_that_are_not_running_have_a_status():
    StateDirectory.of("keys").make()
    assert document(command("status", "--json").stdout)["machines"] == [{"machine": "keys", "running": False}]


# events


class Stream:
    """A client that gives events, and ends with the machine."""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def subscribe(self):
        yield Happened(1, 1.25, GuestStarted("kvm1/guest1", "u"))
        yield Happened(2, 2.5, MdevChanged("kvm1", "u", Mask.of(5), Mask.of(4, 7), Mask()))
        refused = WriteRefused("kvm1", "bus/ap/apmask", "EBUSY", "in use", (Apqn(5, 4),), "u")
        yield Happened(3, 2.5, refused)
        yield Happened(9, 2.5, Lost(7))
        raise ControlError("the machine ended", ExitCode.UNREACHABLE)


def test_events_are_documents_in_lines(monkeypatch):
    monkeypatch.setattr("apmatrix.cli.events.find_machine", lambda name: name)
    monkeypatch.setattr("apmatrix.cli.events.connect", lambda _: Stream())
    lines = command("events", "--json", code=3).stdout.splitlines()
    found = [document(line) for line in lines]
    assert [each["kind"] for each in found] == ["events", "events", "events", "events", "error"]
    assert found[1]["event"]["usage_domains"] == [4, 7]
    assert found[2]["event"]["apqns"] == ["05.0004"]
    assert found[4]["error"] == {"text": "the machine ended", "exit_code": 3, "findings": []}


def test_every_event_has_a_form():
    assert set(SCHEMAS["events"]["$defs"]) == {
        str(kind.__struct_config__.tag) for kind in (*get_args(AnyEvent), Lost)
    }


# errors


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("shwo",), 2),
        (("show", "no-such.toml"), 2),
        (("show",), 3),
        (("show", "--colour", THREE), 2),
        (("show", THREE, "--machine", "m"), 2),
        (("explain",), 2),
        (("explain", THREE, "guest1", "5"), 2),
        (("explain", THREE, "nobody"), 2),
        (("rule", "V9999"), 2),
        (("example", "other"), 2),
        (("status", "nobody"), 3),
        (("guest", "start"), 2),
        (("adapter", "set", 5, "--state", "offline"), 2),
        (("lpar", "set", "kvm1", "--adapters", "five"), 2),
        (("lpar", "set", "kvm1"), 2),
        (("key", "load", "aes", "--domain", 4), 2),
        (("events",), 3),
        (("up", "no-such.toml"), 2),
    ],
    ids=named,
)
def test_an_error_is_a_document_too(words, code):
    result = command(*words, "--json", code=code)
    found = document(result.stdout)
    assert found["kind"] == "error"
    assert found["error"]["exit_code"] == code
    assert found["error"]["text"] in result.stderr
    plain = command(*words, code=code)
    assert (plain.stdout, plain.stderr) == ("", result.stderr)


@pytest.mark.parametrize("words", [("run", THREE, "--", "true", "--json"), ("show", THREE, "--", "--json")])
def test_json_of_another_command_is_not_ours(words, monkeypatch):
    def refuse(*_args, **_more):
        raise ControlError("no")

    monkeypatch.setattr("apmatrix.cli.run.run_on_new", refuse)
    assert command(*words, code=1 if words[0] == "run" else 2).stdout == ""


def test_names_of_files_need_not_be_text(tmp_path):
    name = "no\udcff.toml"
    found = document(command("show", "--json", name, code=2).stdout)
    assert found["error"]["text"].startswith(r"no\udcff.toml: cannot be read: ")
    path = tmp_path / name
    path.write_bytes(INVALID.read_bytes())
    found = document(command("show", "--json", path, code=1).stdout)
    assert {each["place"]["file"] for each in found["findings"]} == {str(tmp_path / r"no\udcff.toml")}
    assert (
        r"'\udcff' is not an APQN"
        in document(command("explain", THREE, "g", "\udcff", "--json", code=2).stdout)["error"]["text"]
    )


def test_everything_that_is_wrong_with_a_file_is_a_finding(tmp_path):
    path = tmp_path / "broken.toml"
    path.write_text(BROKEN)
    found = document(command("show", "--json", path, code=2).stdout)["error"]["findings"]
    assert [(each["severity"], each["place"]["line"], each["place"]["path"]) for each in found] == [
        ("error", 4, "adapter[0].type"),
        ("error", 13, "lpar[0].guest[0].domain"),
    ]
    assert [each["remedy"] for each in found] == [
        [{"text": "did you mean CEX8C?"}],
        [{"text": "did you mean domains?"}],
    ]
    assert found[1]["text"] == "is not a key"


def test_what_is_refused_has_its_parts():
    found = document(command("show", "--json", INVALID, code=1).stdout)
    (finding,), (refused,) = found["findings"], found["refused"]
    assert finding["place"] == refused["place"] == {"file": str(INVALID), "line": 24, "path": "lpar[0].guest[1]"}
    for each in (finding, refused):
        assert (each["severity"], each["errno"], each["rule"]) == ("refused", "EADDRINUSE", "MTX-21b")
        assert each["apqns"] == ["01.0006"]
        assert each["holders"] == [{"kind": "guest", "name": "kvm1/guest1", "uuid": GUEST1}]
        assert each["refuses"] == ["lpar[0].guest[1]"]
        assert each["remedy"]
    assert (finding["system"], refused["system"]) == (None, "kvm1")
    assert refused["action"] == "assign_domain 6 for guest2's mdev"
    assert "in the file" not in refused["text"]


def test_queues_of_the_host_and_of_another_lpar_have_their_holders(tmp_path):
    path = tmp_path / "m.toml"
    path.write_text(
        BROKEN.replace("CEX8c", "CEX8C").replace('domain = "4"\n', "")
        + '[[lpar]]\nname = "kvm2"\nadapters = "5"\nusage_domains = "4"\n'
    )
    found = document(command("show", "--json", path, code=1).stdout)
    assert [(each["errno"], each["holders"]) for each in (*found["findings"], *found["refused"])] == [
        ("EADDRNOTAVAIL", [{"kind": "host", "name": "kvm1", "uuid": None}]),
        (None, [{"kind": "lpar", "name": "kvm1", "uuid": None}]),
        ("EADDRNOTAVAIL", [{"kind": "host", "name": "kvm1", "uuid": None}]),
        (None, [{"kind": "lpar", "name": "kvm1", "uuid": None}]),
    ]
    rules = {each["rule"] for each in (*found["findings"], *found["refused"])}
    assert rules == {"MTX-21a", "hardware.md 7.2"}
    assert reference().look_up(sorted(rules))


def test_a_machine_tells_what_was_refused_with_its_parts():
    with running(KEYS.replace('adapters = "5,6"\n  domains = "7"', 'adapters = "5"\n  domains = "6"')):
        found = document(command("guest", "start", "guest2", "--json", code=1).stdout)
    (refused,) = found["error"]["findings"]
    assert (refused["errno"], refused["apqns"]) == ("EADDRINUSE", ["05.0006"])
    assert refused["holders"][0]["name"] == "kvm1/guest1"


def test_the_strict_schemas_refuse_what_they_do_not_name():
    document = {"version": 1, "kind": "record-start", "file": "f"}
    assert problems(document) == []
    assert problems({**document, "size": 1})
    assert problems({**document, "version": 2})
    assert problems({"kind": "nothing"})


def test_a_document_is_one_json_text():
    json.loads(command("rule", "--json").stdout)
