"""The examples are what their comments and the kernel's document say."""

from pathlib import Path

import pytest

from apmatrix.arch import Apqn, Mask
from apmatrix.config import ConfigError, load

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_three_guests_are_those_of_the_kernel_document():
    file = load(EXAMPLES / "three-guests.toml")
    (lpar,) = file.lpars
    assert [(entry.id, str(entry.type)) for entry in file.adapters] == [(5, "CEX5C"), (6, "CEX5A")]
    assert lpar.profile.apm == Mask.of(5, 6)
    assert lpar.profile.aqm == Mask.of(4, 0x47, 0xAB, 0xFF)
    assert (lpar.host.apmask, lpar.host.aqmask) == (("-5,-6",), ("-4,-0x47,-0xab,-0xff",))
    assert [" ".join(map(str, guest.matrix.apqns())) for guest in lpar.guests] == [
        "05.0004 05.00ab 06.0004 06.00ab",
        "05.0047 05.00ff",
        "06.0047 06.00ff",
    ]


def test_the_invalid_example_shares_one_queue():
    with pytest.raises(ConfigError) as caught:
        load(EXAMPLES / "invalid-shared-queue.toml")
    (finding,) = caught.value.findings
    assert "01.0006 is already assigned to guest guest1" in finding.text


def test_the_shared_adapters_example_shares_adapters_but_no_queue():
    file = load(EXAMPLES / "shared-adapters.toml")
    assert file.findings == ()
    profiles = [lpar.profile for lpar in file.lpars]
    assert all(Apqn(1, 0).adapter in profile.apm for profile in profiles)
    assert len({apqn for profile in profiles for apqn in profile.apqns()}) == sum(map(len, profiles))


def test_the_nested_example_has_three_levels():
    assert max(len(names) for names, _ in load(EXAMPLES / "nested.toml").guests()) == 3


def test_the_example_with_master_keys_has_a_random_one_for_each_mode():
    file = load(EXAMPLES / "master-keys.toml")
    assert file.findings == ()
    assert [(entry.set, entry.key, entry.parts) for entry in file.master_keys] == [
        ("AES", "random", ()),
        ("WK", "random", ()),
    ]


def test_the_large_example_is_large_and_uses_each_queue_once():
    file = load(EXAMPLES / "large.toml")
    guests = [guest for _, guest in file.guests()]
    assert (sum(len(entry.numbers) for entry in file.adapters), len(file.lpars[0].profile.aqm)) == (16, 64)
    assert len(guests) == 40
    assert len({apqn for guest in guests for apqn in guest.matrix.apqns()}) == 960
