"""Many writers at once: nothing is raised but refusals, no writer waits forever, and the promises hold at the end."""

from __future__ import annotations

import itertools
import random
from functools import partial

import pytest

from apmatrix.arch import ApmatrixError, Mask, Matrix
from apmatrix.linux.core.sysfs import Kind
from support.host import H0_MATRIX, TYPE, U1, U2, U3, Background, Host

ROUNDS = 60
UUIDS = (U1, U2, U3)


def refusable(action, *arguments):
    """Do it, or be refused."""
    try:
        return action(*arguments)
    except (OSError, ApmatrixError):
        return None


def write(host, path, text):
    return refusable(host.sysfs.write, path, text.encode())


def change_masks(host, chance):
    text = chance.choice(["-5", "+5", "-6", "+6", "-5,-6"])
    write(host, chance.choice(["bus/ap/apmask", "bus/ap/aqmask"]), text)


def change_mdevs(host, chance):
    uuid = chance.choice(UUIDS)
    write(host, f"{TYPE}/create", uuid)
    verb = chance.choice(["assign_adapter", "assign_domain", "unassign_adapter", "unassign_domain"])
    write(host, f"devices/vfio_ap/matrix/{uuid}/{verb}", chance.choice(["5", "6", "4", "0x47"]))


def configure(host, chance):
    adapters, domains = Mask.of(chance.choice([5, 6])), Mask.of(chance.choice([4, 0x47]))
    write(host, f"devices/vfio_ap/matrix/{chance.choice(UUIDS)}/ap_config", f"{adapters},{domains},{domains}\n")


def run_guests(host, chance):
    uuid = chance.choice(UUIDS)
    vm = refusable(host.system.vmm.start, uuid)
    if vm is not None:
        assert len(vm.linux.sysfs.read("bus/ap/bindings")) > 3
        for apqn in vm.level.effective.apqns():
            host.machine.port(vm.level, apqn).nqap(1, b"request")
        vm.stop()


def rebind(host, chance):
    queue = chance.choice(["05.0004", "06.0004", "05.0047"])
    write(host, f"bus/ap/drivers/vfio_ap/{chance.choice(['bind', 'unbind'])}", queue)


def edit_profile(host, chance):
    adapters = chance.choice([Mask.of(5), Mask.of(6), Mask.of(5, 6)])
    host.machine.set_profile("lpar", Matrix(adapters, H0_MATRIX.aqm, H0_MATRIX.adm))
    write(host, "bus/ap/scans", "1")


def look_around(host, chance):
    waiting = [""]
    while waiting:
        path = waiting.pop()
        for name in refusable(host.sysfs.list, path) or ():
            below = f"{path}/{name}".lstrip("/")
            stat = refusable(host.sysfs.stat, below)
            if stat is not None and stat.kind is Kind.DIRECTORY:
                waiting.append(below)
            elif stat is not None and stat.kind is Kind.FILE and name not in ("mkvps", "serialnr"):
                refusable(host.sysfs.read, below)


ACTIONS = (change_masks, change_mdevs, configure, run_guests, rebind, edit_profile, look_around)


@pytest.mark.parametrize("policy", ["linux", "protective"])
@pytest.mark.parametrize("seed", range(2))
def test_everybody_at_once(policy, seed):
    host = Host(policy=policy)
    host.clock.automatic = True
    assert host.apmask("-5,-6") == "ok"

    def work(action):
        chance = random.Random(f"{seed} {action.__name__}")
        for _ in range(ROUNDS if action is not look_around else 3):
            action(host, chance)
        return "done"

    workers = [Background(partial(work, action)) for action in ACTIONS]
    assert [worker.finish() for worker in workers] == ["done"] * len(ACTIONS)
    assert host.system.vmm.vms == []
    host.scan()
    mdevs = [uuid for uuid in UUIDS if uuid in host.sysfs.list("devices/vfio_ap/matrix")]
    held = {}
    for uuid in mdevs:
        text = host.read(f"devices/vfio_ap/matrix/{uuid}/ap_config").rstrip("\n")
        held[uuid] = Matrix(*map(Mask.parse_hex, text.split(",")))
    for one, other in itertools.combinations(held.values(), 2):
        assert not one.shares_queues(other)
    for name in host.queues():
        assert (host.status(name) == "ENOENT") == (host.driver(name) != "vfio_ap")
    for uuid in mdevs:
        assert host.write(f"devices/vfio_ap/matrix/{uuid}/remove", "1") == "ok"
    assert {host.status(name) for name in host.on("vfio_ap")} <= {"unassigned\n"}
    host.close()
