"""Adapters and domains are spelt alike in all commands, in the file and in faults; what else may be meant is said."""

import pytest

from apmatrix.config import parse
from support.running import command
from support.schemas import document

SPELT = {"5": 5, "05": 5, "0x5": 5, "0X05": 5, "007": 7, "0x07": 7, "6": 6}
BAD = {
    "": "it names no number",
    "five": "'five' is not a number such as 4, 0xab or 0253",
    "08": "'08' is not a number such as 4, 0xab or 0253; a leading 0 means octal: did you mean 8, or 0x8 (8)?",
    "0o5": "'0o5' is not a number such as 4, 0xab or 0253",
    "0b1": "'0b1' is not a number such as 4, 0xab or 0253",
    "1_0": "'1_0' is not a number such as 4, 0xab or 0253",
    "a": "'a' is not a number such as 4, 0xab or 0253; did you mean 0xa (10)?",
    "256": "256 is outside 0-255",
    "٥": "'٥' is not a number such as 4, 0xab or 0253",  # an Arabic digit
}
FILE = """
[[adapter]]
id = "{number}"
type = "CEX8A"
[[lpar]]
name = "kvm1"
adapters = "{number}"
usage_domains = "4"
"""


def of_command(number):
    return document(command("adapter", "set", number, "--state", "online", "--json").stdout)["adapter"]


def of_list(number):
    return document(command("lpar", "set", "kvm1", "--adapters", number, "--json").stdout)["adapters"][0]


def of_fault(number):
    words = document(command("fault", "add", f"adapter={number}", "lose=gone", "--json").stdout)["fault"]["fault"]
    return int(words.partition("adapter=")[2].split()[0], 0)


def of_file(number):
    return parse(FILE.format(number=number), "f.toml").adapters[0].id


@pytest.mark.parametrize("read", [of_command, of_list, of_fault, of_file])
@pytest.mark.parametrize("number", SPELT)
def test_a_number_is_read_alike(machine, read, number):
    assert read(number) == SPELT[number]


@pytest.mark.parametrize("number", BAD)
def test_what_is_not_a_number_is_refused_alike(machine, number):
    said = [command("adapter", "set", "--state", "online", "--", number, code=2).stderr]
    if number:
        said += [
            command("lpar", "set", "kvm1", "--adapters", number, code=2).stderr,
            command("key", "show", "--domain", number, code=2).stderr,
            command("record", "start", "file", "--adapter", number, code=2).stderr,
        ]
        command("fault", "add", f"adapter={number}", "lose=gone", code=2)
        with pytest.raises(Exception, match=r"is not a number|is outside"):
            parse(FILE.format(number=number), "f.toml")
    assert all(BAD[number] in each for each in said)


def test_one_adapter_only(machine):
    assert (
        "Invalid value for 'ID': one adapter only"
        in command("adapter", "set", "5,6", "--state", "online", code=2).stderr
    )


@pytest.mark.parametrize("text", ["1-", "-5", "5-4"])
def test_half_a_range_is_refused(text):
    assert f"'{text}'" in command("lpar", "set", "kvm1", f"--adapters={text}", code=2).stderr


DOUBT = "warning: 0047 is octal 39; domain 0x47 is 71: write 39, 47 or 0x47, whichever is meant\n"


@pytest.mark.parametrize(
    "words",
    [
        ("lpar", "set", "kvm1", "--usage-domains", "4-7,0047"),
        ("key", "show", "--domain", "4,0047"),
        ("fault", "add", "domain=0047", "lose=gone"),
    ],
    ids=" ".join,
)
def test_a_number_that_may_be_meant_otherwise_is_told(machine, words):
    assert f"apmatrix: {DOUBT}" in command(*words, code=words[0] == "key").stderr


def test_so_is_that_of_a_fault_in_the_file():
    text = FILE.format(number=5).replace('type = "CEX8A"', 'type = "CEX8A"\nfaults = ["domain=0047 lose=gone"]')
    (finding,) = parse(text, "f.toml").findings
    assert str(finding) == f"f.toml:5: adapter[0].faults[0]: {DOUBT.removeprefix('warning: ').strip()}"


@pytest.mark.parametrize("text", ["05.0004", "5.4", "05.4", "5.0004"])
def test_an_apqn_is_read_alike(machine, text):
    (found,) = document(command("explain", "guest1", text, "--json", code=1).stdout)["explanations"]
    assert found["apqn"] == "05.0004"


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("05.00044", "; did you mean 05.0044?"),
        ("0x5.0x4", "; did you mean 05.0004?"),
        ("5.0x4", "; did you mean 05.0004?"),
        ("005.0004", "; did you mean 05.0004?"),
        ("5.00004", "; did you mean 05.0004?"),
        ("5,4", "; did you mean 05.0004?"),
        ("5.4.1", ""),
    ],
)
def test_what_is_not_an_apqn_is_one_sentence(machine, text, meant):
    said = command("explain", "--machine", "keys", "guest1", text, code=2).stderr.splitlines()[-1]
    sentence = f"'{text}' is not an APQN such as 05.00ab (hexadecimal adapter.domain){meant}"
    assert said == f"Error: Invalid value for APQN: {sentence}"


def test_decimal_digits_beyond_those_of_an_apqn_have_a_hint(machine):
    said = command("explain", "--machine", "keys", "guest1", "5.171", code=2).stderr
    assert "'5.171' is not an APQN: its domain 0x171 is outside 00-ff; did you mean 05.00ab?" in said
