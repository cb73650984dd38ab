"""Guests compute while administrators, the machine and its operators change everything: nobody hangs or is misled."""

from __future__ import annotations

import errno
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from apmatrix.arch import Mask, Matrix
from apmatrix.cards import AdapterState
from apmatrix.config import load
from apmatrix.emulation import Emulation
from apmatrix.linux import Refused
from apmatrix.linux.ap import states
from apmatrix.linux.zcrypt import ModExpo
from support.zcrypt import operands

NESTED = Path(__file__).parents[2] / "examples/nested.toml"
ROUNDS = 150
KERNELS = {"EBUSY", "EINVAL", "ENODEV", "ENOENT", "EADDRINUSE", "EADDRNOTAVAIL", "EAGAIN", "EACCES", "EIO"}
"""What a kernel may answer to somebody who does not know what others do."""


class SharedMachine:
    """The machine, and what its people do to it; each raises or gives a wrong answer only through a fault of ours."""

    def __init__(self):
        self.emulation = Emulation.start(load(NESTED))
        self.machine = self.emulation.machine
        self.refused = [*map(str, self.emulation.refusals)]
        self.right = 0

    def systems(self):
        return list(self.emulation.known_systems())

    def compute(self, choose):
        """A program in any system."""
        parts, expected = operands(choose)
        try:
            answer = choose.choice(self.systems()).linux.zcrypt.rsa(ModExpo(*parts))
        except Refused as refused:
            if errno.errorcode[refused.errno] not in KERNELS:
                raise
        else:
            assert answer == expected
            self.right += 1

    def write(self, system, path, text):
        """A write that may be refused."""
        try:
            system.linux.sysfs.write(path, text.encode())
        except OSError as error:
            if errno.errorcode[error.errno or 0] not in KERNELS:
                raise

    def assign(self, choose):
        """Who administers the mdevs."""
        for system in self.systems():
            for guest in tuple(system.guests):
                kind, numbers = choose.choice(
                    (("adapter", (5, 6, 7)), ("domain", (4, 5, 0xAB)), ("control_domain", (4, 5)))
                )
                action = choose.choice(("assign", "assign", "unassign"))
                self.write(system, f"{guest.mdev}/{action}_{kind}", str(choose.choice(numbers)))

    def dispose(self, choose):
        """Who administers the queues of a system."""
        system = choose.choice(self.systems())
        queue = choose.choice(("05.0004", "06.00ab", "07.0005", "05.00ab"))
        path, text = choose.choice(
            (
                (
                    f"bus/ap/{choose.choice(('apmask', 'aqmask'))}",
                    f"{choose.choice('+-')}{choose.choice((4, 5, 6, 7))}",
                ),
                (f"bus/ap/drivers/vfio_ap/{choose.choice(('bind', 'unbind'))}", queue),
                (f"bus/ap/devices/{queue}/online", choose.choice("01")),
                (f"bus/ap/devices/{queue}/reset", "1"),
                ("bus/ap/scans", "1"),
            )
        )
        self.write(system, path, text)

    def operate(self, choose):
        """Who operates the machine."""
        if choose.random() < 0.5:
            self.machine.set_adapter_state(choose.choice((5, 6, 7)), choose.choice(tuple(AdapterState)))
        else:
            domains = Mask.of(4, 5, 0xAB)
            self.machine.set_profile("kvm1", Matrix(Mask.of(*choose.sample((5, 6, 7), 2)), domains, domains))

    def restart(self, choose):
        """Who starts and stops guests."""
        guest = choose.choice(list(self.emulation.guests()))
        try:
            if guest.vm is None:
                self.emulation.start_guest(guest)
            else:
                self.emulation.stop_guest(guest)
        except Refused as refused:
            if errno.errorcode[refused.errno] not in KERNELS:
                raise

    def restore(self):
        """As in the beginning."""
        for number in self.machine.adapters:
            self.machine.set_adapter_state(number, AdapterState.ONLINE)
        (lpar,) = self.emulation.file.lpars
        self.machine.set_profile(lpar.name, lpar.profile)
        (system,) = self.emulation.lpars
        self.emulation.make_room(system)
        self.emulation.boot(system)


@pytest.fixture
def shared(monkeypatch):
    # What a card loses while its queue does not show it, as between two scans, is only found by the timeout.
    monkeypatch.setattr(states, "REQUEST_TIMEOUT", 0.5)
    made = SharedMachine()
    yield made
    made.emulation.close()


def test_all_at_once(shared):
    busy = threading.Event()

    def change(action, seed):
        choose = random.Random(seed)
        for _ in range(ROUNDS):
            action(choose)

    def compute(seed):
        choose = random.Random(seed)
        while not busy.is_set():
            shared.compute(choose)

    changes = (shared.assign, shared.assign, shared.dispose, shared.dispose, shared.operate, shared.restart)
    with ThreadPoolExecutor(len(changes) + 3) as pool:
        programs = [pool.submit(compute, seed) for seed in range(3)]
        try:
            for future in [pool.submit(change, action, seed) for seed, action in enumerate(changes)]:
                future.result()
        finally:
            busy.set()
        for future in programs:
            future.result()
    shared.restore()
    seen = shared.right
    for system in shared.systems():
        system.linux.scan()
    for _ in range(20):
        shared.compute(random.Random(7))
    assert shared.right == seen + 20
    assert [*map(str, shared.emulation.refusals)] == shared.refused
