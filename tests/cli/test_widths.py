"""Output fits into 60, 80 and 120 columns, and no word is broken."""

import re

import pytest

from apmatrix.cli.folding import fold
from support.documents import ROOT, run
from support.running import command

WIDE = 500
HELP = (
    *("show", "explain", "demo", "run", "shell", "boot", "up", "events", "fault", "key load", "key clear"),
    *("key reencipher", "key protect", "lpar set"),
)
EXAMPLES = sorted((ROOT / "examples").glob("*.toml"))
COMMANDS = {
    **{f"show {path.stem}": ["show", path] for path in EXAMPLES},
    "demo": ["demo", ROOT / "examples/three-guests.toml"],
    "demo nested": ["demo", ROOT / "examples/nested.toml"],
    "explain": ["explain", ROOT / "examples/nested.toml", "guest2", "07.0004"],
    "explain all": ["explain", ROOT / "examples/nested.toml", "guest2"],
    "explain refused": ["explain", ROOT / "examples/invalid-shared-queue.toml", "guest2", "01.0006"],
    "rule": ["rule"],
    "a rule": ["rule", "BUS-20", "MTX-22"],
    "example": ["example"],
    "help": ["--help"],
    **{f"{name} --help": [*name.split(), "--help"] for name in HELP},
}


def printed(words, width, monkeypatch):
    if "--help" in words:  # click's runner gives help a width of its own
        return run(f"apmatrix {' '.join(words)}", COLUMNS=str(width))
    monkeypatch.setenv("COLUMNS", str(width))
    code = 1 if "invalid" in str(words) or words[0] == "explain" else 0
    return command(*words, code=code).stdout


def words_of(text):
    """Words without figures, of which some change from time to time."""
    return {word for word in text.split() if word.strip("─") and not any(letter.isdigit() for letter in word)}


@pytest.mark.parametrize("words", COMMANDS.values(), ids=COMMANDS)
def test_lines_fit_and_words_are_whole(words, monkeypatch):
    wide = printed(words, WIDE, monkeypatch)
    for width in (60, 80, 120):
        output = printed(words, width, monkeypatch)
        for line in output.splitlines():
            assert len(line) <= width or " " not in line.strip(), line
        broken = words_of(output.replace("...", "")) - words_of(wide.replace("...", "")) - {"request", "requests"}
        # A path or a list may be longer than a line: it is parted after slashes and commas.
        assert [word for word in broken if word[-1] not in "/," and not re.search(f"[/,]{word}", wide)] == []


@pytest.mark.parametrize("said", ["0", "00", "-5", "abc", ""])
@pytest.mark.parametrize(
    "words", [["show", ROOT / "examples/nested.toml"], ["rule"], ["example"]], ids=["show", "rule", "example"]
)
def test_a_width_that_is_none(words, said, monkeypatch):
    expected = command(*words).stdout
    monkeypatch.setenv("COLUMNS", said)
    assert command(*words).stdout == expected


@pytest.mark.parametrize("group", ["", "key", "lpar", "replay"])
def test_a_list_of_commands_has_whole_sentences(group):
    commands = run(f"apmatrix {group} --help", COLUMNS="60").partition("Commands:\n")[2]
    assert commands
    assert "..." not in commands


@pytest.mark.parametrize("size", ["²", "9" * 5000, "-1", "x"])
@pytest.mark.parametrize("variable", ["COLUMNS", "LINES"])
def test_a_size_that_is_none_is_ignored(variable, size, monkeypatch):
    monkeypatch.setenv(variable, size)
    assert "LPAR kvm1" in command("show", ROOT / "examples/three-guests.toml").stdout


@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.parametrize("words", [["guest", "list"], ["status"], ["key", "show"]], ids=" ".join)
def test_a_running_machine(machine, words, width, monkeypatch):
    for number in range(3):
        machine.lpars[0].guests[0].names = ("kvm1", *(f"guest-number-{each}" for each in range(number + 1)))
        for line in printed(words, width, monkeypatch).splitlines():
            assert len(line) <= width


def test_a_program_gets_whole_lines(machine, monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    lines = command("guest", "list").stdout.splitlines()
    assert [line.split()[0::2] for line in lines] == [["kvm1/guest1", "running"], ["kvm1/guest2", "running"]]
    findings = command("show", ROOT / "examples/invalid-shared-queue.toml", code=1).stdout.splitlines()
    assert findings[-1].endswith("take the adapter or the domain out of one of the two")


@pytest.mark.parametrize(
    ("text", "width", "lines"),
    [
        ("", 10, [""]),
        ("one two three", 7, ["one two", "three"]),
        ("  one two", 5, ["  one", "  two"]),
        ("unbreakable", 5, ["unbreakable"]),
        ("a unbreakable b", 5, ["a", "unbreakable", "b"]),
        ("domains 4,71,171,255", 10, ["domains 4,", "71,171,255"]),
        ("/sys/bus/ap", 6, ["/sys/", "bus/ap"]),
        ("one  two", 20, ["one  two"]),
    ],
)
def test_folding(text, width, lines):
    assert fold(text, width) == lines
