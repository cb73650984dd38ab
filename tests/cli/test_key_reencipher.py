"""``apmatrix key reencipher``: EP11 keys that outlive a change of the wrapping key, as files."""

import pytest

from apmatrix.linux.zcrypt import Ep11Request
from support import ep11
from support.running import command
from support.schemas import document

HEADERS = {"bare": b"", "Linux": bytes(2) + (272).to_bytes(2, "big") + b"\x06" + bytes(11)}
HERE = ("--domain", 4)


@pytest.fixture
def machine(machine):
    """With a wrapping key."""
    command("key", "load", "wk", "--random", *HERE)
    command("key", "set", "wk", *HERE)
    return machine


def ask(machine, function, strings, api=1):
    """A usage request of a program in the LPAR, through 06.0004; value and data."""
    control = ep11.request(function, strings, 4, api=api)[88:]
    reply = machine.lpars[0].linux.zcrypt.ep11(Ep11Request(control, ((6, 4),)))
    return ep11.Reply(b"\0\x86" + bytes(46) + reply)


def generate(machine):
    strings = (ep11.word(0), ep11.word(32), ep11.word(0x1080), ep11.attributes(32), b"")
    return ask(machine, 21, strings, api=4).data


def encrypt(machine, blob):
    return ask(machine, 19, (ep11.word(0), ep11.word(0x1085) + ep11.IV, blob, b"data"))


@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS)
def test_a_blob_outlives_the_change(machine, tmp_path, header):
    blob = bytes(range(32)) + generate(machine)[32:]  # Linux may lay a header over the session
    secret = encrypt(machine, blob).data
    (tmp_path / "disk").write_bytes(header + blob + b"padding")
    loaded = command("key", "load", "wk", "--random", *HERE).stdout
    (fact,) = document(command("key", "reencipher", "disk", *HERE, "--json").stdout)["files"]
    assert fact == {"file": "disk", "output": "disk.new", "apqn": "06.0004", "pattern": fact["pattern"]}
    assert f"new committed {fact['pattern']}" in loaded
    assert (tmp_path / "disk").read_bytes() == header + blob + b"padding"
    assert encrypt(machine, blob).data == secret  # the old one is good until the new key is set
    command("key", "set", "wk", *HERE)
    path = tmp_path / "disk.new"
    content = path.read_bytes()
    again = content[len(header) : len(header) + 256]
    assert content == header + again + b"padding"
    assert again[:32] == blob[:32]
    assert path.stat().st_mode & 0o077 == 0
    assert (encrypt(machine, again).value, encrypt(machine, again).data) == (0, secret)
    assert encrypt(machine, blob).value == 0x80010001


def test_where_the_results_go(machine, tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).write_bytes(generate(machine))
    command("key", "load", "wk", "--random", *HERE)
    told = command("key", "reencipher", "one", "two", *HERE).stdout.splitlines()
    assert [line.split(": good when the new WK of 06.0004 is set, pattern ")[0] for line in told] == [
        "one.new",
        "two.new",
    ]
    assert "one.new already exists: move it away" in command("key", "reencipher", "one", *HERE, code=1).stderr
    command("key", "reencipher", "one", *HERE, "--output", "other")
    assert len((tmp_path / "other").read_bytes()) == 256
    assert (
        "--output is for one BLOB only"
        in command("key", "reencipher", "one", "two", "--output", "x", *HERE, code=2).stderr
    )


def test_one_that_cannot_be_re_enciphered_stops_all(machine, tmp_path):
    good = generate(machine)
    files = {
        "good": (good, 0, ""),
        "altered": (
            good[:100] + bytes((good[100] ^ 1,)) + good[101:],
            1,
            "altered: 06.0004: REENCIPH of a key blob in",
        ),
        "foreign": (good[:32] + bytes(16) + good[48:], 1, "under another wrapping key than the domain's current one"),
        "short": (good[:-1], 2, "short: there is no EP11 key blob in it; nothing has been sent"),
        "long": (good + bytes(4096), 2, "long: there is no key blob in it: it has more than 4096 bytes"),
        "empty": (b"", 2, "empty: there is no EP11 key blob in it"),
    }
    command("key", "load", "wk", "--random", *HERE)
    for name, (content, code, message) in files.items():
        (tmp_path / name).write_bytes(content)
        if code:
            result = command("key", "reencipher", "good", name, *HERE, code=code)
            assert message in result.stderr
            assert result.stdout == ""
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*files, "state"])


def test_all_results_are_kept_or_none(machine, tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).write_bytes(generate(machine))
    (tmp_path / ("x" * 252)).write_bytes(generate(machine))  # there is no room for ".new"
    command("key", "load", "wk", "--random", *HERE)
    before = sorted(tmp_path.iterdir())
    assert "File name too long" in command("key", "reencipher", "one", "x" * 252, *HERE, code=1).stderr
    assert "one is given twice" in command("key", "reencipher", "one", "two", "one", *HERE, code=2).stderr
    (tmp_path / "two.new").symlink_to("nowhere")
    assert "two.new already exists" in command("key", "reencipher", "one", "two", *HERE, code=1).stderr
    (tmp_path / "two.new").unlink()
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("before", "message"),
    [
        ((), "its new WK register is empty: load and commit the new wrapping key first"),
        (
            ("load", "wk", "--random", "--step", "import", "--domain", 4),
            "its new WK register is uncommitted: load and",
        ),
    ],
)
def test_without_a_committed_new_key_it_is_refused(machine, tmp_path, before, message):
    (tmp_path / "disk").write_bytes(generate(machine))
    if before:
        command("key", *before)
    assert message in command("key", "reencipher", "disk", *HERE, code=1).stderr


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ((), 2, "Missing argument 'BLOB...'"),
        (("disk",), 2, "Missing option '--domain'"),
        (("disk", "--domain", "4,5"), 2, "one domain only"),
        (("none", "--domain", "4"), 2, "none: the key blob cannot be read: No such file"),
        (("disk", "--domain", "4", "--adapter", "5"), 1, "adapter 5 is a CEX8C: it has no WK master key"),
        (("disk", "--domain", "4", "--adapter", "5,6"), 2, "choose an adapter with --adapter (available: 5-6)"),
        (("disk", "--domain", "7", "--from", "guest2"), 1, "domain 7 is not among the control domains"),
        (
            ("disk", "--domain", "4", "--output", "no/where"),
            1,
            "no/where: the secure key cannot be kept: No such file",
        ),
    ],
)
def test_what_is_wrong_is_a_sentence(machine, tmp_path, words, code, message):
    (tmp_path / "disk").write_bytes(generate(machine))
    command("key", "load", "wk", "--random", *HERE)
    result = command("key", "reencipher", *words, code=code)
    assert message in result.stderr
    assert result.stdout == ""
    assert sorted(path.name for path in tmp_path.iterdir()) == ["disk", "state"]
