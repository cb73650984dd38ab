"""One process of the soak: random sysfs operations, tools and ioctls for a while; then everything it made goes."""

import contextlib
import errno
import os
import random
import subprocess
import sys
import time
import uuid
from pathlib import Path

MATRIX = "devices/vfio_ap/matrix"
CREATE = f"{MATRIX}/mdev_supported_types/vfio_ap-passthrough/create"
EXPECTED = {
    *(errno.EBUSY, errno.EINVAL, errno.ENODEV, errno.ENOENT, errno.EADDRINUSE, errno.EADDRNOTAVAIL, errno.EEXIST),
    *(errno.EAGAIN, errno.EACCES, errno.EIO),
}


def write(path, text):
    """True if the kernel took it; anything but an errno of the kernel's is a failure."""
    try:
        file = os.open(path, os.O_WRONLY)
        try:
            return os.write(file, text.encode()) == len(text)
        finally:
            os.close(file)
    except OSError as error:
        if error.errno not in EXPECTED:
            raise
        return False


def walk():
    """Look at everything; what vanishes meanwhile may."""
    for base in ("bus/ap", "devices/ap", MATRIX, "bus/mdev/devices"):
        for directory, _, files in os.walk(base):
            for name in files:
                with contextlib.suppress(OSError):
                    Path(directory, name).read_bytes()


class Worker:
    """Does what a process does; ``mine`` are the mdevs that it made and nobody else removes."""

    def __init__(self, choose, apmatrix, client):
        self.choose = choose
        self.apmatrix = apmatrix
        self.client = client
        self.mine = []
        self.made = 0

    def new(self):
        name = str(uuid.UUID(int=self.choose.getrandbits(128)))
        if write(CREATE, name):
            self.mine.append(name)
            self.made += 1

    def assign(self):
        if self.mine:
            kind, numbers = self.choose.choice((("adapter", (4, 5, 6, 10)), ("domain", (4, 0x47, 0xAB, 0xFF))))
            attribute = f"{self.choose.choice(('assign', 'unassign'))}_{kind}"
            write(f"{MATRIX}/{self.choose.choice(self.mine)}/{attribute}", str(self.choose.choice(numbers)))

    def remove(self):
        if self.mine:
            name = self.mine.pop(self.choose.randrange(len(self.mine)))
            assert write(f"{MATRIX}/{name}/remove", "1")
            assert not Path(MATRIX, name).exists(), "still there"

    def masks(self):
        bit = self.choose.choice((4, 5, 6, 10, 0x47, 0xAB, 0xFF))
        write(f"bus/ap/{self.choose.choice(('apmask', 'aqmask'))}", f"{self.choose.choice('+-')}{bit}")

    def guest(self):
        if self.mine:
            name = self.choose.choice(self.mine)
            if subprocess.run([self.apmatrix, "guest", "start", name], capture_output=True).returncode == 0:
                assert subprocess.run([self.apmatrix, "guest", "stop", name], capture_output=True).returncode == 0

    def compute(self):
        command = [sys.executable, self.client, "z90crypt", "right", "mask"]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert done.stdout.split("\n")[0] in ("true", '"ENODEV"', '"EAGAIN"', '"EIO"'), done.stdout

    def scan(self):
        write("bus/ap/scans", "1")


def main(number, seconds, seed, apmatrix, client):
    worker = Worker(random.Random(f"{seed} {number}"), apmatrix, client)
    often = [worker.assign] * 12 + [worker.masks] * 4 + [worker.new] * 3 + [worker.remove] * 2
    steps = [*often, walk, worker.guest, worker.compute, worker.scan]
    end = time.monotonic() + float(seconds)
    done = 0
    while time.monotonic() < end:
        worker.choose.choice(steps)()
        done += 1
    while worker.mine:
        worker.remove()
    print(f"made {worker.made}\nfinished after {done} steps")


main(*sys.argv[1:])
