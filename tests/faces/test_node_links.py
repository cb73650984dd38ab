"""Links to devices whose names a hostile program chose."""

import os

import pytest

from apmatrix.faces.node_links import NodeLinks


@pytest.fixture
def dev(tmp_path):
    directory = tmp_path / "dev"
    directory.mkdir()
    return directory


@pytest.fixture
def links(dev):
    links = NodeLinks(os.open(dev, os.O_RDONLY | os.O_DIRECTORY), "/run/nodes")
    yield links
    links.close()


def tree(directory):
    """Every path below, links with what they lead to."""
    paths = sorted(directory.rglob("*"))
    return {str(path.relative_to(directory)): str(path.readlink()) if path.is_symlink() else "" for path in paths}


def test_links_come_and_go_with_the_devices(dev, links):
    links.update(["z90crypt", "mine"])
    assert tree(dev) == {"mine": "/run/nodes/mine", "z90crypt": "/run/nodes/z90crypt"}
    links.update(["z90crypt"])
    assert tree(dev) == {"z90crypt": "/run/nodes/z90crypt"}


def test_an_exclamation_mark_is_the_slash_of_a_path(dev, links):
    links.update(["a!b!c"])
    assert tree(dev) == {"a": "", "a/b": "", "a/b/c": "/run/nodes/a!b!c"}
    links.update([])
    assert tree(dev) == {}


def test_a_directory_goes_with_the_last_device_in_it(dev, links):
    (dev / "pts").mkdir()
    links.update(["a!b!c", "a!d", "pts!e"])
    links.update(["a!d", "pts!e"])
    assert tree(dev) == {"a": "", "a/d": "/run/nodes/a!d", "pts": "", "pts/e": "/run/nodes/pts!e"}
    links.update([])
    assert tree(dev) == {"pts": ""}  # it was there before


def test_a_directory_with_something_else_in_it_stays(dev, links):
    links.update(["a!b"])
    (dev / "a" / "mine").write_text("a program's")
    links.update([])
    assert tree(dev) == {"a": "", "a/mine": ""}
    links.update(["a!b"])
    (dev / "a" / "mine").unlink()
    links.update([])
    assert tree(dev) == {}


def test_a_directory_that_a_program_made_in_the_place_of_another_stays(dev, links):
    links.update(["a!b"])
    (dev / "a").rename(dev / "moved")
    (dev / "a").mkdir()
    links.update([])
    assert tree(dev).keys() == {"a", "moved", "moved/b"}


@pytest.mark.parametrize(
    "name",
    [
        *("", ".", "..", "..!v", "..!..!v", "a!..!..!v", "!v", "a!!v", "a!.", "../v", "/v", "a/../../v"),
        *("\0", "a\0b", "\udcff", "n" * 300, "out!v"),
    ],
)
def test_no_name_leads_out_of_the_directory(dev, links, name):
    outside = dev.parent / "v"
    outside.write_text("precious")
    (dev / "out").symlink_to(dev.parent)
    links.update([name])
    assert outside.read_text() == "precious"
    links.update([])
    assert outside.read_text() == "precious"
    assert {path.name for path in dev.parent.iterdir()} == {"dev", "v"}


@pytest.mark.parametrize("name", ["null", "tty", "pts"])
def test_what_is_there_is_neither_shadowed_nor_taken_away(dev, links, name):
    (dev / "null").write_text("the computer's")
    (dev / "tty").symlink_to("elsewhere")
    (dev / "pts").mkdir()
    before = tree(dev)
    links.update([name])
    assert tree(dev) == before
    links.update([])
    assert tree(dev) == before


def test_what_a_program_puts_in_the_place_of_a_link_stays(dev, links):
    links.update(["mine"])
    kept = dev / "kept"
    (dev / "mine").rename(kept)
    (dev / "mine").symlink_to("/run/nodes/mine")
    links.update([])
    assert tree(dev) == {"kept": "/run/nodes/mine", "mine": "/run/nodes/mine"}
