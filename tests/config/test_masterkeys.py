"""``[[master_key]]``: what is wrong is found at its line, and no message repeats what may be a key."""

import base64

import pytest

from apmatrix.arch import KeySet, Mask
from apmatrix.config import ConfigError, Severity, parse
from apmatrix.rules.keyparts import looks_like_a_key

FILE = """\
[machine]
max_domain = 20
[[adapter]]
ids = "5,0x10"
type = "CEX8C"
[[adapter]]
id = 6
type = "CEX8P"
[[adapter]]
id = 7
type = "CEX8A"
[[master_key]]
adapters = "5"
domains = "4,6"
set = "AES"
key = "random"
[[master_key]]
adapters = 5
domains = 4
set = "APKA"
parts = ["one", "other"]
[[lpar]]
name = "kvm1"
"""
SECRET = bytes(range(32))
DIGITS = SECRET.hex()


def findings(text):
    try:
        return parse(text, "dir/f.toml").findings
    except ConfigError as error:
        return error.findings


def test_keys_are_read_with_the_notations_of_the_file():
    file = parse(FILE.replace("domains = 4\n", 'domains = ["0x4", 7]\n'), "dir/f.toml")
    first, second = file.master_keys
    assert (first.adapters, first.domains, first.key_set) == (Mask.of(5), Mask.of(4, 6), KeySet.AES)
    assert (first.key, first.parts) == ("random", ())
    assert (second.domains, second.key_set, second.key) == (Mask.of(4, 7), KeySet.APKA, None)
    assert all(part.startswith("/") for part in second.parts)  # the machine changes its directory
    assert [part.split("/")[-2:] for part in second.parts] == [["dir", "one"], ["dir", "other"]]
    assert file.without_keys().master_keys == ()


def test_a_valid_file_has_no_findings():
    assert findings(FILE) == ()


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "adapters = 5",
            "adapters = 9",
            ".toml:18: master_key[1].adapters: the machine has no adapter 9: take it out",
        ),
        (
            "adapters = 5",
            "adapters = 10",
            ".toml:18: master_key[1].adapters: the machine has no adapter 10; did you mean 0x10, adapter 16, which",
        ),
        (
            "adapters = 5",
            "adapters = 7",
            ".toml:18: master_key[1].adapters: adapter 7 is a CEX8A, which has no master",
        ),
        (
            "adapters = 5",
            "adapters = 6",
            ".toml:18: master_key[1].adapters: adapter 6 is a CEX8P: it has no APKA master key, but WK: take it out",
        ),
        (
            '"AES"',
            '"WK"',
            ".toml:13: master_key[0].adapters: adapter 5 is a CEX8C: it has no WK master key, but AES, APKA, ASYM",
        ),
        (
            "adapters = 5\n",
            "",
            ".toml:17: master_key[1]: the key adapters is missing: it must be adapters, such as 5",
        ),
        ("domains = 4\n", "", ".toml:17: master_key[1]: the key domains is missing: it must be domains, such as 4"),
        (
            "domains = 4\n",
            "domains = 21\n",
            ".toml:19: master_key[1].domains: domain 21 cannot exist in this machine",
        ),
        ("domains = 4\n", "domains = 256\n", ".toml:19: master_key[1].domains: 256 is outside 0-255"),
        (
            '"APKA"',
            '"AES"',
            ".toml:17: master_key[1]: 05.0004: the AES key is already given at line 12: take the adapter or the",
        ),
        (
            '"APKA"',
            '"apka"',
            ".toml:20: master_key[1].set: is 'apka', but must be a set of master keys: 'AES', 'APKA'",
        ),
        ('"APKA"', '"WKS"', ".toml:20: master_key[1].set: is 'WKS', but must be a set of master keys"),
        ('set = "APKA"\n', "", ".toml:17: master_key[1]: the key set is missing: it must be a set of master keys"),
        (
            'parts = ["one", "other"]\n',
            "",
            ".toml:17: master_key[1]: a master key is either random or made of parts: write one of key = 'random'",
        ),
        ('["one"', '["one", "two"', None),
        (
            'parts = ["one"',
            'key = "random"\nparts = ["one"',
            ".toml:17: master_key[1]: a master key is either random",
        ),
        (
            '["one", "other"]',
            '["one"]',
            ".toml:21: master_key[1].parts: a master key of CCA has two parts or more, not 1",
        ),
        (
            '["one", "other"]',
            '"one"',
            ".toml:21: master_key[1].parts: a master key of CCA has two parts or more, not 1",
        ),
        ('["one", "other"]', "[]", ".toml:17: master_key[1]: a master key is either random or made of parts"),
        ('["one", "other"]', '["", "a"]', ".toml:21: master_key[1].parts: parts are a list of names of files, such"),
        (
            '["one", "other"]',
            '["a\\u0000", "b"]',
            ".toml:21: master_key[1].parts: parts are a list of names of files",
        ),
        ('["one", "other"]', "[1, 2]", ".toml:21: master_key[1].parts: parts are a list of names of files, such"),
        (
            'key = "random"',
            'key = "Random"',
            ".toml:16: master_key[0].key: a key is never written into the file: write",
        ),
        (
            'key = "random"',
            'key = "random"\npart = 1',
            ".toml:17: master_key[0].part: is not a key; did you mean parts?",
        ),
        (
            "[[master_key]]\nadapters = 5",
            "[[masterkey]]\nadapters = 5",
            ".toml:17: masterkey: is not a key; did you mean",
        ),
    ],
)
def test_what_is_wrong_is_found_at_its_line(old, new, expected):
    assert old in FILE
    found = findings(FILE.replace(old, new, 1))
    if expected is None:
        assert found == ()
        return
    assert str(found[0]).startswith(f"dir/f{expected}")
    assert found[0].severity is Severity.ERROR


def test_the_same_register_of_many_queues_is_one_finding():
    keys = FILE.replace("4,6", "0-20").replace("APKA", "AES").replace("domains = 4\n", 'domains = "0-20"\n')
    (found,) = findings(keys)
    assert "05.0000, 05.0001, 05.0002, 05.0003, 05.0004, 05.0005 and 15 more: the AES key is" in found.text
    assert len(found.apqns) == 21


def test_a_table_that_cannot_be_read_does_not_shift_the_lines_of_others():
    text = FILE.replace('"AES"', '"AESX"').replace('["one", "other"]', '["one"]')
    assert [found.line for found in findings(text)] == [15]


@pytest.mark.parametrize(
    "line",
    [
        f'key = "{DIGITS}"',
        f"key = {DIGITS}",
        f"key = 0x{DIGITS}",
        f"key: {DIGITS}",
        f"key = {int(DIGITS, 16)}",
        f"key = {list(SECRET)}",
        f'parts = "{DIGITS}"',
        f'parts = ["{DIGITS}", "0x{DIGITS}"]',
        f'parts = ["one", "{DIGITS.upper()}"]',
        f'parts = ["one", "{SECRET.hex(" ")}"]',
        f'parts = ["one", "{SECRET.hex(":")}"]',
        f'parts = ["one", "{", ".join(map(hex, bytes(range(16, 48))))}"]',
        f'parts = ["one", "{base64.b64encode(SECRET).decode()}"]',
        f"parts = [0x{DIGITS}]",
        f'set = "{DIGITS}"',
        f"set = 0x{DIGITS}",
        f'set = ["{DIGITS}"]',
        f'name = "{DIGITS}"',
        f"parts = [{list(SECRET)}]",
        f'parts = {{ one = "{DIGITS}" }}',
    ],
)
def test_a_key_in_the_file_is_refused_and_never_repeated(line):
    other = 'set = "APKA"\n' if line.startswith("set") else ""
    text = FILE.replace(f'{other}parts = ["one", "other"]', line)
    found = findings(text)
    assert found
    told = "\n".join(map(str, found)).lower().replace(" ", "")
    forms = (
        DIGITS,
        str(int(DIGITS, 16)),
        "1,2,3,4,5",
        "01:02:03",
        "0x12,0x13",
        base64.b64encode(SECRET).decode().lower(),
    )
    for form in forms:
        assert form[:12] not in told


@pytest.mark.parametrize("name", ["part1", "keys/aes.part.1", "deadbeef", "/run/user/1000/keys/1", "a" * 20])
def test_names_of_files_are_no_keys(name):
    assert not looks_like_a_key(name)
    part = parse(FILE.replace('"one"', f'"{name}"'), "f").master_keys[1].parts[0]
    assert part.endswith(name)
