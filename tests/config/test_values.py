"""What a file means: values in all notations, defaults, derived names."""

from uuid import UUID

import pytest

from apmatrix.arch import CardFunctions, CardType, Mask, Matrix
from apmatrix.config import NotInFile, parse

LPAR = '[[lpar]]\nname = "a"\n'


def lpar(text):
    return parse(LPAR + text, "f.toml").lpars[0]


@pytest.mark.parametrize(
    ("value", "numbers"),
    [
        ("4", [4]),
        ("0xab", [171]),
        ('"0253"', [171]),
        ('"4,0xab"', [4, 171]),
        ('"1-3,7"', [1, 2, 3, 7]),
        ('[5, "0x6", 0x7]', [5, 6, 7]),
        ('""', []),
        ("[]", []),
    ],
)
def test_numbers_in_every_notation(value, numbers):
    assert lpar(f"adapters = {value}").adapters == Mask.of(*numbers)


def test_usage_domains_of_an_lpar_are_its_control_domains_by_default():
    assert lpar('adapters = 1\nusage_domains = "4,5"').profile == Matrix(Mask.of(1), Mask.of(4, 5), Mask.of(4, 5))
    assert lpar('usage_domains = 4\ncontrol_domains = ""').profile.adm == Mask()


def test_a_guest_has_no_control_domains_by_default():
    guest = lpar("[[lpar.guest]]\nname = 'g'\nadapters = 1\ndomains = 4").guests[0]
    assert guest.matrix == Matrix(Mask.of(1), Mask.of(4), Mask())
    assert guest.start


def test_defaults_of_the_machine():
    file = parse(LPAR, "some dir/my file.toml")
    assert file.machine.name == "my-file"
    assert file.machine.features == ("APSC", "APXA", "QACT", "RC8A")
    assert file.machine.facilities == (12, 15, 76)
    assert file.machine.limits.apm == Mask.up_to(255)
    assert file.lpars[0].host.vfio_ap
    assert file.lpars[0].host.policy == "linux"


def test_an_adapter_has_the_defaults_of_its_type_unless_the_file_says_otherwise():
    first, second = parse(
        "[[adapter]]\nid = 5\ntype = 'CEX8C'\n"
        "[[adapter]]\nids = '6,7'\ntype = 'CEX8C'\ndepth = 3\nfunctions = 0xf2000000\nstate = 'deconfigured'\n"
        + LPAR,
        "f.toml",
    ).adapters
    assert (first.numbers, first.type, first.depth, first.state) == (
        Mask.of(5),
        CardType.parse("CEX8C"),
        8,
        "online",
    )
    assert first.functions == CardFunctions(0x93800000)
    assert (second.numbers, second.depth, second.functions.value, second.state) == (
        Mask.of(6, 7),
        3,
        0xF2000000,
        "deconfigured",
    )


def test_mask_writes_are_one_or_several():
    host = lpar("[lpar.host]\napmask = '-5'\naqmask = ['0x0', '+4']").host
    assert host.apmask == ("-5",)
    assert host.aqmask == ("0x0", "+4")


GUESTS = """
[[lpar.guest]]
name = "g"
[[lpar.guest.guest]]
name = "g"
[[lpar.guest.guest]]
name = "h"
[[lpar]]
name = "b"
[[lpar.guest]]
name = "g"
"""


def test_uuids_follow_from_the_names_and_are_different():
    file = parse(LPAR + GUESTS, "f.toml")
    assert [names for names, _ in file.guests()] == [("a", "g"), ("a", "g", "g"), ("a", "g", "h"), ("b", "g")]
    uuids = [guest.uuid for _, guest in file.guests()]
    assert len(set(uuids)) == 4
    assert uuids == [guest.uuid for _, guest in parse(LPAR + GUESTS, "elsewhere/f.toml").guests()]
    # Written down: users put derived UUIDs into other files, so they must never change.
    assert uuids[0] == UUID("7e4dd6df-74ec-5f45-be04-47274d820139")


def test_guests_are_found_by_as_many_names_as_are_needed():
    file = parse(LPAR + GUESTS, "f.toml")
    assert file.find_guest("h")[0] == ("a", "g", "h")
    assert file.find_guest("g/g")[0] == ("a", "g", "g")
    assert file.find_guest("b/g")[1] is file.lpars[1].guests[0]
    with pytest.raises(NotInFile, match=r"^f.toml: there are several guests g: choose one of a/g, a/g/g, b/g$"):
        file.find_guest("g")
    with pytest.raises(NotInFile, match=r"^f.toml: there is no guest x: the guests are a/g, a/g/g, a/g/h, b/g$"):
        file.find_guest("x")
    with pytest.raises(NotInFile, match="the guests are none"):
        parse(LPAR, "f.toml").find_guest("")
