"""A small tree, mounted: what programs see of it."""

import errno
import select
import stat
import threading

import pytest

THING = "devices/thing"
POLL = """
import os, select
file = os.open("/sys/devices/thing/value", os.O_RDONLY)
os.read(file, 4096)
poll = select.poll()
poll.register(file, select.POLLPRI | select.POLLERR)
"""


def failing(place, code):
    with pytest.raises(OSError) as caught:
        place.do(f"import os\n{code}")
    return caught.value.errno


def test_attributes(place):
    """Modes and sizes are the kernel's; a directory has none."""
    modes = {"value": 0o644, "fixed": 0o444, "refuse": 0o200}
    for name, mode in modes.items():
        found, size = place.do(f"import os\ns = os.lstat('/sys/{THING}/{name}')\nresult = s.st_mode, s.st_size")
        assert (found, size) == (stat.S_IFREG | mode, 4096)
    assert place.evaluate(f"os.lstat('/sys/{THING}').st_mode") == stat.S_IFDIR | 0o755


def test_links_are_relative(place):
    assert place.evaluate("os.readlink('/sys/bus/some/devices/thing')") == "../../../devices/thing"
    assert place.read("bus/some/devices/thing/value") == "begin\n"


def test_listing(place):
    names = place.evaluate(f"sorted(os.listdir('/sys/{THING}'))")
    assert names == ["drop", "fixed", "make", "refuse", "value", "wait"]
    kinds = place.evaluate("[(e.name, e.is_dir(), e.is_symlink()) for e in os.scandir('/sys/bus/some/devices')]")
    assert kinds == [["thing", True, True]]


@pytest.mark.parametrize(
    "number",
    [errno.ENODEV, errno.EINVAL, errno.EEXIST, errno.EBUSY, errno.EADDRINUSE, errno.EADDRNOTAVAIL, errno.EUSERS],
    ids=errno.errorcode.get,
)
def test_the_errno_comes_back_at_the_write(place, number):
    code = f"file = os.open('/sys/{THING}/refuse', os.O_WRONLY)\nos.write(file, b'{number}')"
    assert failing(place, code) == number


@pytest.mark.parametrize(
    ("code", "number"),
    [
        (f"os.mkdir('/sys/{THING}/new')", errno.EPERM),
        (f"os.unlink('/sys/{THING}/value')", errno.EPERM),
        (f"os.rmdir('/sys/{THING}')", errno.EPERM),
        (f"os.rename('/sys/{THING}', '/sys/other')", errno.EPERM),
        (f"os.symlink('x', '/sys/{THING}/new')", errno.EPERM),
        (f"os.link('/sys/{THING}/value', '/sys/{THING}/new')", errno.EPERM),
        (f"os.mknod('/sys/{THING}/new')", errno.EPERM),
        (f"open('/sys/{THING}/new', 'w')", errno.EACCES),
        (f"open('/sys/{THING}/fixed', 'w')", errno.EACCES),
        (f"open('/sys/{THING}/refuse')", errno.EACCES),
        (f"os.open('/sys/{THING}/refuse', os.O_RDWR)", errno.EACCES),
        (f"open('/sys/{THING}/nothing')", errno.ENOENT),
        (f"open('/sys/{THING}/value/below')", errno.ENOTDIR),
        (f"os.getxattr('/sys/{THING}/value', 'user.x')", errno.EOPNOTSUPP),
        ("import mmap; mmap.mmap(os.open('/sys/devices/thing/value', os.O_RDWR), 4096)", errno.ENODEV),
        ("import fcntl; fcntl.ioctl(os.open('/sys/devices/thing/value', os.O_RDONLY), 0x1234)", errno.ENOTTY),
    ],
)
def test_what_sysfs_refuses_even_to_root(place, code, number):
    assert failing(place, code) == number


def test_a_file_is_shown_once_per_read_from_the_start(place, thing):
    """As seq_file does: later parts are of the same text, a read at 0 shows anew."""
    code = (
        "import os\nfile = os.open('/sys/devices/thing/value', os.O_RDWR)\n"
        "first = os.pread(file, 2, 0)\nos.write(file, b'other')\n"
        "result = [x.decode() for x in (first, os.pread(file, 9, 2), os.pread(file, 9, 0), os.pread(file, 9, 5))]"
    )
    assert place.do(code) == ["be", "gin\n", "other", ""]
    assert len(place.read(f"{THING}/fixed")) == 5500


def test_a_write_takes_a_page_at_most(place, thing):
    assert place.write(f"{THING}/value", b"x" * 5000) == 4096
    assert place.write(f"{THING}/value", b"y" * 20000) == 4096
    assert place.write(f"{THING}/value", b"") == 0
    assert [len(raw) for raw in thing.taken] == [4096, 4096]


def test_shell_redirections_work(place, thing):
    """O_TRUNC and O_APPEND mean nothing here."""
    assert (
        place.evaluate("os.system('echo one > /sys/devices/thing/value; echo two >> /sys/devices/thing/value')") == 0
    )
    assert thing.taken == [b"one\n", b"two\n"]


def test_what_a_write_makes_and_drops_is_seen_at_once(place, thing):
    """Although names are cached for ever."""
    new = f"/sys/{THING}/new"
    for _ in range(50):
        assert not place.evaluate(f"os.path.exists('{new}')")
        place.write(f"{THING}/make", b"new\n")
        assert place.read(f"{THING}/new/value") == "begin\n"
        assert "new" in place.evaluate(f"os.listdir('/sys/{THING}')")
        place.write(f"{THING}/new/value", b"used")
        place.write(f"{THING}/drop", b"new\n")
        assert "new" not in place.evaluate(f"os.listdir('/sys/{THING}')")


def test_what_happens_elsewhere_is_seen_after_a_flush(place, thing):
    thing.sysfs.write(f"{THING}/make", b"new\n")
    assert place.read(f"{THING}/new/value") == "begin\n"
    thing.sysfs.write(f"{THING}/drop", b"new\n")
    place.face.flush()
    assert not place.evaluate(f"os.path.exists('/sys/{THING}/new')")


def test_a_file_opened_before_its_object_went_gives_enodev(place, thing):
    """Also when a new object has the name by then."""
    code = (
        "import os\ndef put(name, data):\n"
        "    file = os.open('/sys/devices/thing/' + name, os.O_WRONLY)\n"
        "    os.write(file, data)\n    os.close(file)\n"
        "put('make', b'new')\nfile = os.open('/sys/devices/thing/new/value', os.O_RDWR)\n"
        "here = os.open('/sys/devices/thing/new', os.O_PATH)\n"
        "put('drop', b'new')\nput('make', b'new')\nresult = []\n"
        "for act in (lambda: os.read(file, 9), lambda: os.write(file, b'x'),\n"
        "            lambda: os.open('fixed', os.O_RDONLY, dir_fd=here), lambda: put('new/value', b'x')):\n"
        "    try: act(); result.append(0)\n"
        "    except OSError as error: result.append(error.errno)\n"
    )
    assert place.do(code) == [errno.ENODEV, errno.ENODEV, errno.ENOENT, 0]


def test_poll_wakes_at_a_notification(place, thing):
    """POLLPRI and POLLERR, until the file is read again."""
    place.begin(POLL + "before = poll.poll(0)\nresult = before, poll.poll(), [os.pread(file, 9, 0) and poll.poll(0)]")
    while not any(inode.pollers for inode in [place.face.inodes.find(f"{THING}/value")] if inode):
        pass
    thing.notify("value")
    before, after, again = place.end()
    assert before == []
    assert [events for _, events in after] == [select.POLLPRI | select.POLLERR]
    assert again == [[]]


def test_a_notification_before_poll_is_not_lost(place, thing):
    place.do(POLL + "import builtins\nbuiltins.kept = poll, file")
    thing.notify("value")
    events = place.do("import builtins\nresult = builtins.kept[0].poll()")
    assert [bits for _, bits in events] == [select.POLLPRI | select.POLLERR]


BLOCK = """
import builtins, os, signal
builtins.blocked = []
for _ in range({count}):
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGUSR1, lambda *_: os._exit(3))
        file = os.open('/sys/devices/thing/wait', os.O_WRONLY)
        os.write(file, b'x')
        os._exit(0)
    builtins.blocked.append(child)
"""
ENDED = "import os, builtins\nresult = [os.waitstatus_to_exitcode(os.waitpid(c, 0)[1]) for c in builtins.blocked]"


def test_a_blocked_write_stops_nobody_else(place, thing):
    """Several of them, and the tree changes meanwhile."""
    place.do(BLOCK.format(count=5))
    assert thing.waiting.wait(10)
    place.write(f"{THING}/make", b"new\n")
    assert place.read(f"{THING}/new/value") == "begin\n"
    thing.release()
    assert place.do(ENDED) == [0] * 5


def test_a_signal_interrupts_a_blocked_write(place, thing):
    """Where the emulated kernel's wait is interruptible; the others wait on."""
    place.do(BLOCK.format(count=1))
    assert thing.waiting.wait(10)
    place.do("import builtins, os, signal\nos.kill(builtins.blocked[0], signal.SIGUSR1)")
    assert place.do(ENDED) == [3]
    assert not thing.released


def test_a_signal_interrupts_a_blocked_read(place, thing):
    thing.slow = True
    place.do(
        BLOCK.format(count=1)
        .replace("wait'", "slow'")
        .replace("WRONLY", "RDONLY")
        .replace("write(file, b'x'", "read(file, 9")
    )
    assert thing.waiting.wait(10)
    place.do("import builtins, os, signal\nos.kill(builtins.blocked[0], signal.SIGUSR1)")
    assert place.do(ENDED) == [3]
    assert not thing.released


def test_abort_lets_blocked_processes_go(place, thing):
    """At the end of a session, whatever the emulated kernel waits for."""
    place.begin("import os\nos.write(os.open('/sys/devices/thing/wait', os.O_WRONLY), b'x')")
    assert thing.waiting.wait(10)
    place.channel.abort()
    with pytest.raises(OSError) as caught:
        place.end()
    assert caught.value.errno == errno.ENOTCONN


def test_a_long_directory_is_listed_whole(place, thing):
    for number in range(4096):
        thing.sysfs.write(f"{THING}/make", b"%04x" % number)
    names = place.evaluate(f"os.listdir('/sys/{THING}')")
    assert len(names) == len(set(names)) == 4096 + 6


def test_permissions_that_udev_sets_are_kept(place):
    code = (
        "import os\nos.chmod('/sys/devices/thing/value', 0o664)\nos.chown('/sys/devices/thing/value', 0, 0)\n"
        "result = os.stat('/sys/devices/thing/value').st_mode"
    )
    assert place.do(code) == stat.S_IFREG | 0o664


def test_the_face_ends_with_the_mount(place, thing):
    """No subscription and no thread stays."""
    place.write(f"{THING}/value", b"x")
    assert thing.sysfs.watched
    place.close()
    assert not thing.sysfs.watched
    names = {thread.name for thread in threading.enumerate() if thread.name.startswith("test ")}
    while names:
        names = {thread.name for thread in threading.enumerate() if thread.name.startswith("test ")}
