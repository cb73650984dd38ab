"""Packages by apt, with programs in place of apt that note what they were asked."""

import os
import subprocess
import time
from pathlib import Path

import pytest

from apmatrix.faces.boot.apt import RENEWAL_AGE
from apmatrix.faces.boot.errors import PackageError
from apmatrix.faces.boot.packages import Repository, unpack
from apmatrix.faces.boot.prepare import Software

APT_GET = r"""#!/bin/sh
echo "get $*" >> "$APT_LOG"
case "$*" in
*indextargets*)
    echo "http://archive.invalid/debian-security/ somewhere-security main"
    echo "http://archive.invalid/debian-security/ somewhere-security contrib"
    echo "http://archive.invalid/debian/ somewhere-updates main"
    echo "http://archive.invalid/debian/ somewhere contrib"
    echo "http://archive.invalid/debian/ somewhere main" ;;
*" update -q"*)
    [ -z "$APT_OFFLINE" ] || { echo "E: Failed to fetch" >&2; exit 100; } ;;
*" download -q"*)
    [ -z "$APT_OFFLINE" ] || { echo "E: Failed to fetch" >&2; exit 100; }
    all="$*"; suite=${all#*Dir::State::Lists=}; suite=${suite%%/lists*}; suite=${suite##*/}
    for last; do
        case $last in
        linux-*|tool|library)
            case " $APT_LOST " in
            *" $suite/$last "*)
                echo "E: Failed to fetch http://archive.invalid/pool/$last.deb  404  Not Found [IP: 192.0.2.1 80]" >&2
                failed=1 ;;
            *) : > "${last}_1%3a2.0_s390x.deb" ;;
            esac ;;
        esac
    done
    [ -z "$failed" ] || exit 100 ;;
esac
"""

APT_CACHE = r"""#!/bin/sh
echo "cache $*" >> "$APT_LOG"
for last; do
    case $last in
    linux-image-s390x) depends="Depends: linux-image-7.2-s390x (= 7.2)" ;;
    linux-image-7.2-s390x) depends="Depends: kmod, linux-binary-7.2-s390x (= 7.2), linux-base (>= 4)" ;;
    linux-binary-7.2-s390x|tool|library) depends="Section: kernel" ;;
    unknown) echo "E: No packages found" >&2; exit 100 ;;
    *) continue ;;
    esac
    printf 'Package: %s\nSource: x\nVersion: 1:2.0\nArchitecture: s390x\n%s\n\n' "$last" "$depends"
done
"""


@pytest.fixture
def apt(tmp_path, monkeypatch):
    programs = tmp_path / "programs"
    programs.mkdir()
    for name, text in (("apt-get", APT_GET), ("apt-cache", APT_CACHE)):
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    log = tmp_path / "log"
    log.touch()
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    monkeypatch.setenv("APT_LOG", str(log))
    return log


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


def asked(log, word):
    return [line for line in log.read_text().splitlines() if word in line]


def test_kernel_of_this_machines_suite(apt, cache):
    repository = Repository(cache=cache)
    assert repository.suites == ("somewhere", "trixie", "sid")
    files = repository.kernel()
    assert [file.name for file in files] == [
        "linux-image-7.2-s390x_1%3a2.0_s390x.deb",
        "linux-binary-7.2-s390x_1%3a2.0_s390x.deb",
    ]
    assert all(file.parent == cache / "packages" and file.exists() for file in files)
    sources = (cache / "somewhere" / "sources.list").read_text()
    assert sources.endswith("http://archive.invalid/debian/ somewhere main\n")


def test_the_machines_own_apt_is_left_alone(apt, cache):
    Repository(cache=cache).fetch(["tool"])
    commands = [line for line in apt.read_text().splitlines() if "indextargets" not in line]
    assert len(commands) == 3
    for command in commands:
        for place in ("Dir::State::Lists", "Dir::State::Status", "Dir::Etc::SourceList", "Dir::Etc::Parts"):
            assert f"-o {place}={cache}/somewhere/" in command
        assert "-o APT::Architecture=s390x" in command


def test_another_architecture_has_lists_of_its_own(apt, cache):
    Repository("trixie", cache=cache).fetch(["tool"])
    Repository("trixie", cache=cache, architecture="amd64").fetch(["tool"])
    assert len(asked(apt, " update -q")) == 2
    assert "deb [arch=amd64" in (cache / "trixie-amd64" / "sources.list").read_text()
    assert "deb [arch=s390x" in (cache / "trixie" / "sources.list").read_text()
    (command,) = asked(apt, "show")[1:]
    assert "-o APT::Architecture=amd64" in command
    assert f"-o Dir::State::Lists={cache}/trixie-amd64/lists" in command


def test_what_is_there_is_not_fetched_again(apt, cache):
    Repository("trixie", cache=cache).fetch(["tool"])
    Repository("trixie", cache=cache).fetch(["tool"])
    assert len(asked(apt, " update -q")) == 1
    assert len(asked(apt, "download")) == 1


def test_without_network_what_was_fetched_once_is_used(apt, cache, monkeypatch):
    repository = Repository(cache=cache)
    repository.fetch(["tool"])
    (cache / "somewhere" / "updated").unlink()
    (cache / "somewhere" / "lists" / "x_Packages").touch()
    monkeypatch.setenv("APT_OFFLINE", "1")
    assert Repository(cache=cache).fetch(["tool"])[0].exists()
    with pytest.raises(PackageError, match="apt-get failed: E: Failed to fetch"):
        Repository(cache=cache).kernel()


def test_without_network_at_first(apt, cache, monkeypatch):
    monkeypatch.setenv("APT_OFFLINE", "1")
    with pytest.raises(
        PackageError, match=r"somewhere for s390x is not available: apt-get failed: E: .*: give --kernel FILE"
    ):
        Repository(cache=cache).fetch(["tool"])
    with pytest.raises(
        PackageError, match=r"elsewhere for s390x is not .*: name another suite \(--kernel somewhere or"
    ):
        Repository("elsewhere", cache=cache).fetch(["tool"])


def test_unknown_package(apt, cache):
    with pytest.raises(PackageError, match=r"Debian somewhere for s390x has no package unknown; .*Debian trixie"):
        Repository(cache=cache).fetch(["unknown"])
    with pytest.raises(PackageError, match="Debian sid for s390x has no package other: name another suite"):
        Repository("sid", cache=cache).fetch(["tool", "other"])


def lose(monkeypatch, *packages):
    """The archives' indexes name these packages, but the archives do not have them."""
    monkeypatch.setenv("APT_LOST", " ".join(packages))


def age_lists(cache, suite):
    os.utime(cache / suite / "updated", times=(time.time() - 2 * RENEWAL_AGE,) * 2)


def test_a_package_that_is_not_there_is_asked_for_again_with_new_lists(apt, cache, monkeypatch):
    Repository("trixie", cache=cache).fetch(["library"])
    age_lists(cache, "trixie")
    lose(monkeypatch, "trixie/tool")
    Repository("trixie", cache=cache).fetch(["tool"])
    words = [line.split()[-1] for line in asked(apt, f"{cache}/trixie/lists") if "get" in line.split()[0]]
    assert words[:5] == ["--error-on=any", "library", "tool", "--error-on=any", "tool"]


def test_a_package_that_is_not_there_comes_from_another_pocket(apt, cache, monkeypatch):
    lose(monkeypatch, "trixie/tool", "trixie-security/tool", "trixie-updates/library")
    files = Repository("trixie", cache=cache).fetch(["tool", "library"])
    assert [file.name for file in files] == ["tool_1%3a2.0_s390x.deb", "library_1%3a2.0_s390x.deb"]
    assert all(file.exists() for file in files)
    (command,) = asked(apt, f"{cache}/trixie-updates/lists")[-1:]
    assert command.split()[-3:] == ["download", "-q", "tool"]
    security = (cache / "trixie-security" / "sources.list").read_text()
    assert security.endswith("http://archive.invalid/debian-security/ trixie-security main\n")


def test_a_kernel_that_is_not_there_comes_from_another_pocket(apt, cache, monkeypatch):
    lose(monkeypatch, "trixie/linux-binary-7.2-s390x", "trixie/linux-image-7.2-s390x")
    assert all(file.exists() for file in Repository("trixie", cache=cache).kernel())
    (command,) = asked(apt, f"{cache}/trixie-security/lists")[-1:]
    assert command.split()[-2:] == ["linux-image-7.2-s390x", "linux-binary-7.2-s390x"]


POCKETS = ("", "-security", "-updates", "-backports")


def test_packages_that_are_not_there_come_from_another_suite(apt, cache, monkeypatch):
    lose(monkeypatch, *(f"somewhere{pocket}/tool" for pocket in POCKETS))
    said: list[str] = []
    files = Repository(cache=cache, progress=said.append).fetch(["tool", "library"])
    assert len(files) == 2
    (reason,) = said
    assert reason == (
        "the archive of Debian somewhere for s390x does not have what its index names: tool (404 Not Found):"
        " trying Debian trixie"
    )


def test_a_named_suite_is_not_replaced(apt, cache, monkeypatch):
    lose(monkeypatch, *(f"trixie{pocket}/linux-image-7.2-s390x" for pocket in POCKETS))
    with pytest.raises(PackageError) as caught:
        Repository("trixie", cache=cache).kernel()
    assert str(caught.value) == (
        "the archive of Debian trixie for s390x does not have what its index names: linux-image-7.2-s390x"
        " (404 Not Found): name another suite (--kernel somewhere or sid), or give --kernel FILE and --initrd FILE"
    )


def test_what_is_no_suite(apt, cache):
    with pytest.raises(PackageError, match="is not a Debian suite"):
        Repository("../etc", cache=cache)


def test_no_apt(cache, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PackageError, match=r"apt-get is not installed: .* give --kernel FILE and --initrd FILE"):
        Repository(cache=cache)


def test_nowhere_to_keep_packages(apt, monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(
        PackageError, match=r"file/cache.*: Not a directory: set XDG_CACHE_HOME to a directory of yours"
    ):
        Repository(cache=tmp_path / "file/cache").fetch(["tool"])

    def no_home():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", no_home)
    with pytest.raises(PackageError, match="this user has no home directory: set XDG_CACHE_HOME"):
        Repository()


def test_unpacking_something_else(tmp_path):
    (tmp_path / "x.deb").write_text("no package")
    with pytest.raises(PackageError):
        unpack(tmp_path / "x.deb", tmp_path / "trees")
    assert list((tmp_path / "trees").iterdir()) == []


def test_unpacking_once(tmp_path):
    source = tmp_path / "source"
    (source / "DEBIAN").mkdir(parents=True)
    (source / "DEBIAN" / "control").write_text(
        "Package: x\nVersion: 1\nArchitecture: all\nMaintainer: x <x@y.invalid>\nDescription: x\n"
    )
    (source / "file").write_text("content")
    subprocess.run(["dpkg-deb", "--build", source, tmp_path / "x.deb"], check=True, capture_output=True)
    tree = unpack(tmp_path / "x.deb", tmp_path / "trees")
    assert (tree / "file").read_text() == "content"
    (tree / "file").write_text("kept")
    assert (unpack(tmp_path / "x.deb", tmp_path / "trees") / "file").read_text() == "kept"


@pytest.mark.parametrize("kernel", ["/nowhere/vmlinuz", "linux.deb", "./x"])
def test_kernel_that_is_no_file(kernel):
    with pytest.raises(PackageError, match="is not a file: --kernel needs"):
        Software(kernel).prepare(print)


def test_initrd_that_is_no_file(tmp_path):
    kernel = tmp_path / "vmlinuz"
    kernel.touch()
    with pytest.raises(PackageError, match="--initrd needs"):
        Software(str(kernel), tmp_path / "none").prepare(print)
    (tmp_path / "own").write_text("a file system")
    assert Software(str(kernel), tmp_path / "own").prepare(print) == (kernel, b"a file system")
