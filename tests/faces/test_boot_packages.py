"""Packages by apt, with programs in place of apt that note what they were asked."""

import subprocess
from pathlib import Path

import pytest

from apmatrix.faces.boot.errors import PackageError
from apmatrix.faces.boot.packages import Repository, unpack
from apmatrix.faces.boot.prepare import Software

APT_GET = r"""#!/bin/sh
echo "get $*" >> "$APT_LOG"
case "$*" in
*indextargets*)
    echo "http://archive.invalid/debian-security/ somewhere-security main"
    echo "http://archive.invalid/debian/ somewhere-updates main"
    echo "http://archive.invalid/debian/ somewhere contrib"
    echo "http://archive.invalid/debian/ somewhere main" ;;
*update*)
    [ -z "$APT_OFFLINE" ] || { echo "E: Failed to fetch" >&2; exit 100; } ;;
*download*)
    [ -z "$APT_OFFLINE" ] || { echo "E: Failed to fetch" >&2; exit 100; }
    for last; do case $last in linux-*|tool) : > "${last}_1%3a2.0_s390x.deb";; esac; done ;;
esac
"""

APT_CACHE = r"""#!/bin/sh
echo "cache $*" >> "$APT_LOG"
for last; do
    case $last in
    linux-image-s390x) depends="Depends: linux-image-7.2-s390x (= 7.2)" ;;
    linux-image-7.2-s390x) depends="Depends: kmod, linux-binary-7.2-s390x (= 7.2), linux-base (>= 4)" ;;
    linux-binary-7.2-s390x|tool) depends="Section: kernel" ;;
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
    assert (repository.suite, repository.uri) == ("somewhere", "http://archive.invalid/debian/")
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
    Repository("trixie", cache)
    Repository("trixie", cache, "amd64").fetch(["tool"])
    assert len(asked(apt, "update")) == 2
    assert "deb [arch=amd64" in (cache / "trixie-amd64" / "sources.list").read_text()
    assert "deb [arch=s390x" in (cache / "trixie" / "sources.list").read_text()
    (command,) = asked(apt, "download")
    assert "-o APT::Architecture=amd64" in command
    assert f"-o Dir::State::Lists={cache}/trixie-amd64/lists" in command


def test_what_is_there_is_not_fetched_again(apt, cache):
    Repository("trixie", cache).fetch(["tool"])
    Repository("trixie", cache).fetch(["tool"])
    assert len(asked(apt, "update")) == 1
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
        PackageError, match=r"somewhere for s390x is not available: apt-get failed: E: .*; name a suite"
    ):
        Repository(cache=cache)


def test_unknown_package(apt, cache):
    with pytest.raises(PackageError, match="apt-cache failed: E: No packages found"):
        Repository(cache=cache).fetch(["unknown"])


def test_what_is_no_suite(apt, cache):
    with pytest.raises(PackageError, match="is not a Debian suite"):
        Repository("../etc", cache)


def test_no_apt(cache, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PackageError, match=r"apt-get is not installed: .* give --kernel FILE and --initrd FILE"):
        Repository(cache=cache)


def test_nowhere_to_keep_packages(apt, monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(
        PackageError, match=r"file/cache.*: Not a directory: set XDG_CACHE_HOME to a directory of yours"
    ):
        Repository(cache=tmp_path / "file/cache")

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
