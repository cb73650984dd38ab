"""What a guest starts from: archives, modules, programs with their libraries."""

import lzma
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from apmatrix.faces.boot import initramfs
from apmatrix.faces.boot.cpio import Archive
from apmatrix.faces.boot.errors import PackageError
from apmatrix.faces.boot.handler import PROGRAM

DATA = Path(__file__).parent.parent / "data"


def unpacked(data: bytes) -> dict[str, tuple[int, bytes]]:
    """Read newc archives, one after the other, by their format's description."""
    found = {}
    at = 0
    while at < len(data):
        assert data[at : at + 6] == b"070701"
        fields = [int(data[at + 6 + 8 * n : at + 14 + 8 * n], 16) for n in range(13)]
        name = data[at + 110 : at + 110 + fields[11] - 1].decode()
        start = (at + 110 + fields[11] + 3) // 4 * 4
        if name != "TRAILER!!!":
            found[name] = (fields[1], data[start : start + fields[6]])
        at = (start + fields[6] + 3) // 4 * 4
    return found


def test_archive():
    archive = Archive()
    archive.file("/usr/bin/tool", b"content", 0o755)
    archive.link("bin", "usr/bin")
    archive.file("/usr/bin/tool", b"newer", 0o755)
    found = unpacked(bytes(archive))
    assert list(found) == ["usr", "usr/bin", "usr/bin/tool", "bin"]
    assert found["usr"] == (stat.S_IFDIR | 0o755, b"")
    assert found["usr/bin/tool"] == (stat.S_IFREG | 0o755, b"newer")
    assert found["bin"] == (stat.S_IFLNK | 0o777, b"usr/bin")


def test_archives_can_be_appended():
    one, other = Archive(), Archive()
    one.file("a", b"1")
    other.file("b", b"22222")
    assert set(unpacked(bytes(one) + bytes(other))) == {"a", "b"}


def module(depends: str) -> bytes:
    return b"\x7fELF\0license=GPL\0depends=%b\0name=x\0" % depends.encode()


def make(tree: Path, path: str, content: bytes) -> None:
    (tree / path).parent.mkdir(parents=True, exist_ok=True)
    (tree / path).write_bytes(content)


@pytest.mark.parametrize("prefix", ["lib/modules/6.1/kernel", "usr/lib/modules/7.2/kernel"])
def test_modules_come_after_those_they_need(tmp_path, prefix):
    make(tmp_path, f"{prefix}/drivers/zcrypt_cex4.ko.xz", lzma.compress(module("zcrypt")))
    make(tmp_path, f"{prefix}/drivers/zcrypt.ko", module("rng-core,built_in"))
    make(tmp_path, f"{prefix}/drivers/rng-core.ko", module(""))
    assert [name for name, _ in initramfs.modules([tmp_path])] == ["rng-core", "zcrypt", "zcrypt_cex4"]


APPLETS = b"\0" + b"\0".join(b"applet%d" % number for number in range(150)) + b"\0sh\0\0"


@pytest.fixture
def tools(tmp_path):
    tree = tmp_path / "tools"
    make(tree, "bin/busybox", b"ELF" + APPLETS)
    make(tree, "sbin/lszcrypt", b"ELF\0libc.so.6\0/lib/ld64.so.1\0libnone.so.1\0")
    make(tree, "usr/lib/s390x-linux-gnu/libc.so.6", b"ELF\0ld64.so.1\0")
    make(tree, "lib/s390x-linux-gnu/ld64.so.1", b"loader")
    return tree


def test_first_file_system(tools, tmp_path):
    make(tmp_path / "kernel", "lib/modules/1/kernel/zcrypt_cex4.ko", module(""))
    found = unpacked(bytes(initramfs.base([tools], [tmp_path / "kernel"], {"usr/bin/mine": b"ELF\0libc.so.6\0"})))
    assert found["usr/sbin/lszcrypt"][0] == stat.S_IFREG | 0o755
    assert found["usr/lib/s390x-linux-gnu/libc.so.6"][1] == b"ELF\0ld64.so.1\0"
    assert found["usr/lib/s390x-linux-gnu/ld64.so.1"][1] == b"loader"
    assert found["usr/bin/applet149"] == (stat.S_IFLNK | 0o777, b"busybox")
    assert found["usr/lib/modules/apmatrix/00-zcrypt_cex4.ko"][1] == module("")
    assert found["lib"][1] == b"usr/lib"
    assert found["init"][1].startswith(b"#!/bin/busybox sh\n")
    assert "usr/bin/mine" in found
    assert not any("libnone" in name for name in found)


def test_the_first_program_is_correct_shell():
    script = initramfs.base.__globals__["resources"].files("apmatrix.faces.boot").joinpath("init.sh")
    subprocess.run(["sh", "-n", str(script)], check=True)


def test_missing_busybox_is_a_sentence(tmp_path):
    with pytest.raises(PackageError, match="have no bin/busybox"):
        initramfs.base([tmp_path], [])


def test_what_to_do():
    command = unpacked(bytes(initramfs.task("lszcrypt -V")))
    assert command["apmatrix/command"][1] == b"lszcrypt -V\n"
    shell = unpacked(bytes(initramfs.task(interactive=initramfs.Interactive("x; reboot", 50, 132))))
    assert shell["apmatrix/interactive"][1] == b"TERM='x; reboot' ROWS=50 COLUMNS=132\n"
    assert unpacked(bytes(initramfs.task())) == {}


def test_the_mailbox_is_what_its_source_says(tmp_path):
    assembler, copier = shutil.which("s390x-linux-gnu-as"), shutil.which("s390x-linux-gnu-objcopy")
    if not assembler or not copier:
        pytest.skip("needs Debian's binutils-s390x-linux-gnu")
    subprocess.run([assembler, "-o", tmp_path / "o", DATA / "mailbox.s"], check=True)
    subprocess.run([copier, "-O", "binary", tmp_path / "o", tmp_path / "bin"], check=True)
    assert (tmp_path / "bin").read_bytes()[: len(PROGRAM)] == PROGRAM
    assert (tmp_path / "bin").read_bytes()[len(PROGRAM) :].strip(b"\x07") == b""
