"""``apmatrix key``: master keys by commands from an LPAR or a guest, and what is refused."""

import json

import pytest

from support.running import KEYS, command, running

SECRET = bytes(range(32, 64))


def registers(*words):
    """States of each set of each domain as the command prints them."""
    facts = json.loads(command("key", *words, "--json").stdout)["domains"]
    return {
        (keys["apqn"], label): {name: register["state"] for name, register in found.items()}
        for keys in facts
        for label, found in keys["registers"].items()
    }


def mkvps(machine, apqn):
    (system, *_) = machine.lpars
    return system.shell.read(f"bus/ap/devices/{apqn}/mkvps")


@pytest.mark.parametrize("key_set", ["aes", "apka", "asym"])
def test_a_key_is_loaded_and_set_from_an_lpar(machine, key_set):
    here = ("--adapter", 5, "--domain", 4)
    label = key_set.upper()
    empty = {"new": "empty", "current": "invalid", "old": "invalid"}
    assert registers("load", key_set, "--random", *here) == {("05.0004", label): empty | {"new": "full"}}
    assert registers("set", key_set, *here) == {("05.0004", label): empty | {"current": "valid"}}
    command("key", "load", key_set, "--random", *here)
    command("key", "set", key_set, *here)
    shown = registers("show", *here)
    assert shown["05.0004", label] == {"new": "empty", "current": "valid", "old": "valid"}
    assert [state for (_, other), state in shown.items() if other != label] == [empty, empty]
    assert f"{label} OLD: valid 0x" in mkvps(machine, "05.0004")
    assert f"{label} CUR: invalid" in mkvps(machine, "05.0005")


def test_a_wrapping_key_is_loaded_and_set_from_a_guest(machine):
    here = ("--from", "guest1", "--domain", "0x40")
    assert registers("load", "wk", "--random", *here) == {
        ("06.0040", "WK"): {"new": "committed", "current": "invalid"}
    }
    assert registers("set", "wk", *here) == {("06.0040", "WK"): {"new": "empty", "current": "valid"}}


def test_a_wrapping_key_step_by_step(machine):
    here = ("--domain", 4)
    assert registers("load", "wk", "--random", "--step", "import", *here)["06.0004", "WK"]["new"] == "uncommitted"
    assert registers("load", "wk", "--step", "commit", *here)["06.0004", "WK"]["new"] == "committed"
    command("key", "clear", "wk", *here)
    command("key", "load", "wk", "--random", "--step", "import", *here)
    assert registers("set", "wk", *here)["06.0004", "WK"] == {"new": "empty", "current": "valid"}


def test_parts_from_files_in_both_forms_make_the_same_key(machine, tmp_path):
    """The pattern is of the XOR of all parts, however they are written."""
    first, last = bytes(range(32)), SECRET
    (tmp_path / "first").write_bytes(first)
    (tmp_path / "last").write_text(f"0x{last.hex()}\n")
    by_files = command("key", "load", "aes", "first", "last", "--domain", "4,5").stdout
    by_lines = command(
        "key", "load", "aes", "-", "-", "--domain", 6, "--from", "guest1", stdin=f"{first.hex()}\n{last.hex()}\n"
    )
    patterns = {line.split()[3] for line in (by_files + by_lines.stdout).splitlines() if "AES" in line}
    assert len(patterns) == 1
    combined = bytes(a ^ b for a, b in zip(first, last, strict=True))
    (tmp_path / "zero").write_bytes(bytes(32))
    (tmp_path / "whole").write_bytes(combined)
    command("key", "clear", "aes", "--domain", 4)
    again = command("key", "load", "aes", "whole", "zero", "zero", "--domain", 4).stdout
    assert again.split()[3] in patterns


def test_parts_one_by_one(machine, tmp_path):
    (tmp_path / "part").write_bytes(SECRET)
    states = [
        registers("load", "aes", "part", "--step", step, "--domain", 4)["05.0004", "AES"]["new"]
        for step in ("first", "middle", "last")
    ]
    assert states == ["partial", "partial", "full"]


def test_clearing_everything_of_a_domain_and_of_a_card(machine):
    for domain in (4, 5):
        command("key", "load", "aes", "--random", "--domain", domain)
        command("key", "set", "aes", "--domain", domain)
    assert (
        "05.0004: all registers are empty"
        in command("key", "clear", "--all-registers", "--domain", 4, "--adapter", 5).stdout
    )
    assert "AES CUR: invalid" in mkvps(machine, "05.0004")
    assert "AES CUR: valid" in mkvps(machine, "05.0005")
    refused = command("key", "clear", "--whole-card", "--domain", 6, "--from", "guest1", "--adapter", 5, code=1)
    assert "keys of other domains are involved" in refused.stderr
    command("key", "clear", "--whole-card", "--domain", 4, "--adapter", 5)
    assert "AES CUR: invalid" in mkvps(machine, "05.0005")


@pytest.mark.parametrize(
    ("features", "code"), [('["APSC", "APXA"]', "response code 42"), ('["APXA", "RC8A"]', "reply code 8A")]
)
@pytest.mark.parametrize(("adapter", "key_set"), [(5, "aes"), (6, "wk")])
def test_without_the_control_domain_it_is_refused_with_the_architectures_code(
    tmp_path, monkeypatch, features, code, adapter, key_set
):
    monkeypatch.setenv("APMATRIX_STATE", str(tmp_path))
    text = KEYS.replace('name = "keys"', f'name = "keys"\nfeatures = {features}', 1)
    with running(text) as machine:
        for system, domain, others in (
            ("guest2", 7, "it can be done from kvm1"),
            ("guest1", 7, "it can be done from kvm1"),
            ("guest2", 0x40, "it can be done from kvm1, kvm1/guest1"),
            ("kvm1", 0x41, "no running system controls it"),
        ):
            words = ("--from", system, "--domain", domain, "--adapter", adapter)
            refused = command("key", "load", key_set, "--random", *words, code=1)
            assert refused.stdout == ""
            assert f"was refused with {code}: domain {domain} is not among the control domains" in refused.stderr
            assert refused.stderr.endswith(f": {others}\n")
        assert "no master keys" in command("key", "show").stdout
        assert all(keyring_is_empty(machine, number) for number in (5, 6))


def keyring_is_empty(machine, number):
    return machine.machine.adapters[number].context.keyring.within(())


def test_shared_control_domains_are_reported(machine):
    output = command("key", "load", "aes", "--random", "--domain", "0x40").stdout
    assert "05.0040 is controlled by kvm1 and kvm1/guest1" in output
    facts = json.loads(command("key", "show", "--json", "--from", "guest1").stdout)["domains"]
    assert {(keys["apqn"], *keys["controllers"]) for keys in facts} == {
        (apqn, "kvm1", "kvm1/guest1") for apqn in ("05.0006", "05.0040", "06.0006", "06.0040")
    }
    machine.stop_guest(next(guest for guest in machine.guests() if guest.name == "kvm1/guest1"))
    assert "controlled by" not in command("key", "clear", "aes", "--domain", "0x40").stdout


def test_a_guest_without_control_domains_still_sees_the_keys_of_its_queues(machine):
    command("key", "load", "aes", "--random", "--domain", 7)
    command("key", "set", "aes", "--domain", 7)
    command("key", "load", "wk", "--random", "--domain", 7)
    facts = json.loads(command("key", "show", "--json", "--from", "guest2").stdout)["domains"]
    assert [(keys["apqn"], keys["controlled"]) for keys in facts] == [("05.0007", False), ("06.0007", False)]
    others = json.loads(command("key", "show", "--domain", 7, "--json").stdout)["domains"]
    assert facts == [keys | {"controlled": False} for keys in others]
    assert facts[0]["registers"]["AES"]["current"]["state"] == "valid"
    assert facts[1]["registers"]["WK"]["new"]["state"] == "committed"


def test_the_carrier_can_be_chosen(machine):
    (kvm1, *_) = machine.lpars
    before = [kvm1.shell.read(f"bus/ap/devices/05.000{domain}/request_count") for domain in (4, 5)]
    command("key", "load", "aes", "--random", "--domain", "0x40", "--through", 5)
    after = [kvm1.shell.read(f"bus/ap/devices/05.000{domain}/request_count") for domain in (4, 5)]
    assert [int(now) - int(then) for then, now in zip(before, after, strict=True)] == [0, 2]


def test_the_table(machine):
    assert command("key", "show", "--adapter", 5).stdout == "adapter 5 CEX8C: no master keys in domain 4-7,64\n"
    command("key", "load", "wk", "--random", "--domain", 6)
    command("key", "set", "wk", "--domain", 6)
    lines = command("key", "show").stdout.splitlines()
    assert lines[0].split() == ["queue", "type", "key", "new", "current", "old", "controlled", "by"]
    assert lines[2].split()[:5] == ["06.0006", "CEX8P", "WK", "empty", "valid"]
    assert lines[-1] == "adapter 6 CEX8P: no master keys in domain 4-5,7,64"


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["load", "des", "x"], 2, "'des' is not one of"),
        (["load", "aes", "--domain", "4"], 2, "give the files with the key parts, or --random"),
        (["load", "aes", "short", "short", "--domain", "4"], 2, "part 1 is not a part of the AES master key"),
        (["load", "aes", "part", "--domain", "4"], 1, "a master key of CCA has two parts or more, not 1"),
        (["load", "wk", "part", "part", "--domain", "4"], 1, "is loaded in one piece, not in 2"),
        (["load", "wk", "part", "--step", "commit", "--domain", "4"], 2, "the step commit takes no key part, not 1"),
        (["load", "aes", "part", "--random", "--domain", "4"], 2, "give PART or --random, not both"),
        (["load", "aes", "none", "none", "--domain", "4"], 2, "none: the key part cannot be read: No such file"),
        (["load", "aes", ".", ".", "--domain", "4"], 2, ".: the key part cannot be read: Is a directory"),
        (["load", "aes", "--random"], 2, "Missing option '--domain'"),
        (["load", "aes", "--random", "--domain", "4-"], 2, "'4-' is not a range such as 1-3"),
        (["load", "aes", "--random", "--domain", "256"], 2, "256 is outside 0-255"),
        (["load", "aes", "--random", "--domain", "4", "--through", "4,5"], 2, "one domain only"),
        (["load", "aes", "--random", "--domain", "4", "--through", "6"], 1, "kvm1 does not use queue 05.0006"),
        (["load", "aes", "--random", "--domain", "4", "--adapter", "6"], 1, "6 is a CEX8P: it has no AES master key"),
        (["load", "aes", "--random", "--domain", "4", "--adapter", "7"], 1, "no queue of a coprocessor 7"),
        (
            ["load", "aes", "--random", "--domain", "4", "--from", "x"],
            2,
            "there is no guest x: the guests are kvm1/guest1, kvm1/guest2; the LPARs are kvm1",
        ),
        (["load", "aes", "part", "part", "--step", "first", "--domain", "4"], 2, "takes one key part, not 2"),
        (
            ["load", "aes", "--step", "commit", "--domain", "4"],
            2,
            "loading AES has the steps first, middle, last, not",
        ),
        (
            ["load", "wk", "part", "--step", "first", "--domain", "4"],
            2,
            "loading WK has the steps import, commit, not",
        ),
        (["set", "aes", "--domain", "4"], 1, "05.0004: SET of the AES master key"),
        (["clear", "--domain", "4"], 2, "give one of SET, --all-registers, --whole-card"),
        (["clear", "--all-registers", "--domain", "4"], 2, "choose an adapter with --adapter (available: 5-6)"),
        (["show", "--machine", "other"], 3, "machine other is not running"),
    ],
)
def test_what_is_wrong_is_a_sentence(machine, tmp_path, words, code, message):
    (tmp_path / "part").write_bytes(SECRET)
    (tmp_path / "short").write_bytes(SECRET[:31])
    result = command("key", *words, code=code)
    assert message in result.stderr
    assert result.stdout == ""
    assert all(keyring_is_empty(machine, number) for number in (5, 6))


def test_what_is_typed_may_be_no_text(machine):
    result = command("key", "load", "aes", "-", "-", "--domain", 4, code=2, stdin=b"\xff\n\xfe\n")
    assert "part 1 is not a part of the AES master key" in result.stderr


def test_a_refusal_ends_it_and_names_the_state_of_the_register(machine):
    command("key", "load", "aes", "--random", "--domain", 5)
    refused = command("key", "load", "aes", "--random", "--domain", "4-5,0x40", code=1)
    assert refused.stdout.startswith("05.0004 AES: new full ")
    assert refused.stdout.count("\n") == 1
    assert "05.0005: LOAD-FST of the AES master key" in refused.stderr
    assert "its new AES register is full" in refused.stderr


@pytest.mark.parametrize(
    ("key_set", "fault", "reason"),
    [
        ("aes", "verb=MK reply=0x90 skip=1 times=1", "LOAD-LST of AES in 05.0004: EIO"),
        ("aes", "verb=MK reply=0x8a skip=2 times=1", "LOAD-LST of AES in 05.0004: EINVAL"),
        ("wk", "verb=41 reply=0x8a skip=1 times=1", "COMMIT of WK in 06.0004: EINVAL"),
    ],
)
def test_a_key_that_cannot_be_loaded_whole_is_not_loaded_at_all(machine, tmp_path, key_set, fault, reason):
    (tmp_path / "part").write_bytes(SECRET)
    parts = ["part"] * (1 if key_set == "wk" else 3 if "skip=2" in fault else 2)
    command("fault", "add", *fault.split())
    refused = command("key", "load", key_set, *parts, "--domain", 4, code=1)
    assert reason in refused.stderr
    assert refused.stderr.endswith("; what was loaded before has been cleared again\n")
    assert all(keyring_is_empty(machine, number) for number in (5, 6))
    command("key", "load", key_set, *parts, "--domain", 4)


def test_a_key_that_can_neither_be_loaded_nor_cleared(machine, tmp_path):
    (tmp_path / "part").write_bytes(SECRET)
    command("fault", "add", "verb=MK", "reply=0x8a", "skip=1")
    refused = command("key", "load", "aes", "part", "part", "--domain", 4, code=1)
    assert "a part of the key is already loaded: apmatrix key clear aes empties the register" in refused.stderr


def test_what_can_be_seen_is_shown_if_a_card_refuses(machine):
    command("fault", "add", "adapter=6", "verb=41", "reply=0x8a")
    shown = command("key", "show", code=1)
    assert shown.stdout == "adapter 5 CEX8C: no master keys in domain 4-7,64\n"
    assert "QUERY of WK in 06.0004: EINVAL" in shown.stderr


def test_a_key_on_the_command_line_is_neither_taken_nor_repeated(machine):
    result = command("key", "load", "aes", SECRET.hex(), SECRET.hex(), "--domain", 4, code=2)
    assert "never given on the command line" in result.stderr
    assert SECRET.hex() not in result.output


def test_key_parts_are_in_no_output_and_no_log(machine, tmp_path, caplog):
    caplog.set_level(0)
    (tmp_path / "part").write_bytes(SECRET)
    (tmp_path / "text").write_text(SECRET.hex() + "!")
    said = [
        command("-h"),
        command("key", "load", "aes", "part", "part", "part", "--domain", 4),
        command("key", "load", "aes", "part", "part", "--domain", 4, code=1),
        command("key", "load", "aes", "part", "text", "--domain", 4, code=2),
        command("key", "load", "aes", "part", "part", "--domain", 7, "--from", "guest2", code=1),
        command("key", "show", "--json"),
    ]
    logs = [line for system in machine.systems() for line in system.linux.log.lines()]
    text = "\n".join((*(result.output for result in said), *logs, caplog.text))
    assert SECRET.hex() not in text
    assert repr(SECRET)[2:-1] not in text


def test_a_system_without_a_fitting_card_says_so(tmp_path, monkeypatch):
    monkeypatch.setenv("APMATRIX_STATE", str(tmp_path))
    with running(KEYS.replace("CEX8C", "CEX8A").replace("CEX8P", "CEX7A")):
        for words in (["load", "aes", "--random"], ["set", "wk"]):
            said = command("key", *words, "--domain", 4, code=1).stderr
            assert "this system uses no coprocessor that has such a key" in said


def test_the_name_of_a_running_machine_instead_of_a_file(machine):
    assert command("show", "keys").stdout == command("show", "--machine", "keys").stdout
    for words in (["explain", "keys", "guest1"], ["demo", "keys"], ["up", "keys"], ["run", "keys", "--", "true"]):
        assert "keys is a running machine, not a file: say --machine keys" in command(*words, code=2).stderr
