"""Random operations on a host, its guests and their guests keep the promises of AP virtualization.

1. No APQN is in the effective matrices of two levels of one parent.
2. What a guest has is assigned to its mdev, in its host's configuration, and bound to vfio_ap there.
3. A queue that leaves a guest is reset: nothing of the old owner is left in it.
4. What a system refuses changes nothing.

With policy = "protective" also: an assignment never takes a working adapter from a running guest, a queue
that an mdev holds stays where it is, and every refusal says why.
"""

from __future__ import annotations

import errno
import itertools
import os
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Any, ClassVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from apmatrix.arch import EMPTY_MATRIX, Apqn, Mask, Matrix
from apmatrix.cards import AdapterState
from apmatrix.linux import Refused
from support.host import U1, U2, U3, Host
from support.sysops import MATRIX, TYPE, SysOps

if TYPE_CHECKING:
    from collections.abc import Iterator

    from apmatrix.linux import LinuxSystem, Vm
    from apmatrix.machine import Cpc

ADAPTERS, DOMAINS = (5, 6, 7), (4, 5, 6)
GIVE_ALL = "-0-255"
EVERYTHING = Matrix(Mask.of(*ADAPTERS), Mask.of(*DOMAINS), Mask.of(*DOMAINS))
UUIDS = (U1, U2, U3)
CARDS = {5: "CEX8C", 6: "CEX8A", 7: "CEX8A"}

adapter_masks = st.sets(st.sampled_from(ADAPTERS), min_size=1).map(lambda chosen: Mask.of(*chosen))
domain_masks = st.sets(st.sampled_from(DOMAINS), min_size=1).map(lambda chosen: Mask.of(*chosen))
matrices = st.builds(Matrix, adapter_masks, domain_masks, domain_masks)
queues = st.builds(Apqn, st.sampled_from(ADAPTERS), st.sampled_from(DOMAINS))
uuids = st.sampled_from(UUIDS)
kinds = st.sampled_from(("adapter", "domain", "control_domain"))
which = st.integers(0, 11)
terms = st.lists(
    st.tuples(st.sampled_from("+-"), st.sampled_from((*ADAPTERS, *DOMAINS, 9, 300))), min_size=1, max_size=3
).map(lambda chosen: ",".join(f"{sign}{number}" for sign, number in chosen))
mask_texts = st.one_of(terms, st.sampled_from(["\n", "0x" + "f" * 64, "zz"]))


class HostMachine(RuleBasedStateMachine):
    """A host under random operations."""

    POLICY: ClassVar[str] = "linux"

    def __init__(self) -> None:
        super().__init__()
        self.host: Host
        self.holding: dict[Vm, set[Apqn]] = {}

    @initialize(given=st.booleans(), plans=st.lists(st.tuples(matrices, matrices), max_size=3))
    def boot(self, given: bool, plans: list[tuple[Matrix, Matrix]]) -> None:
        """Give the queues away or not; start guests, and in each a guest of its own."""
        self.host = Host(cards=CARDS, matrix=EVERYTHING, policy=self.POLICY)
        if given:
            assert self.host.apmask(GIVE_ALL) == "ok"
        for uuid, (outer, inner) in zip(UUIDS, plans, strict=False):
            vm = self.host_guest(self.host.system, uuid, outer)
            if vm is not None:
                self.write(vm.linux, "bus/ap/apmask", GIVE_ALL)
                self.host_guest(vm.linux, uuid, inner | Matrix(outer.apm, outer.aqm))

    def host_guest(self, system: LinuxSystem, uuid: str, matrix: Matrix) -> Vm | None:
        """Start a guest with what is there and nobody has yet: most random assignments are refused."""
        self.write(system, f"{TYPE}/create", uuid)
        others = (self.assigned(system, other) for other in self.mdevs(system) if other != uuid)
        taken = reduce(or_, others, EMPTY_MATRIX).apm
        free = Matrix(matrix.apm - taken, matrix.aqm, matrix.adm) & self.configured(system)
        self.write(system, f"{MATRIX}/{uuid}/ap_config", f"{free.apm},{free.aqm},{free.adm}\n")
        vm = self.start_guest(system, uuid)
        if vm is not None:
            self.use(vm)
        return vm

    def teardown(self) -> None:
        if hasattr(self, "host"):  # it was booted
            for system in reversed(list(self.systems())):
                for vm in tuple(system.vmm.vms):
                    vm.stop()
            self.host.close()

    # looking

    @property
    def machine(self) -> Cpc:
        return self.host.machine

    def systems(self) -> Iterator[LinuxSystem]:
        """The host, its guests, their guests."""
        waiting = [self.host.system]
        while waiting:
            system = waiting.pop(0)
            yield system
            waiting.extend(vm.linux for vm in system.vmm.vms)

    def pick(self, which: int) -> LinuxSystem:
        """One of the running systems, most often the host."""
        systems = list(self.systems())
        return systems[which % len(systems)]

    def pick_mdev(self, which: int) -> tuple[LinuxSystem, str]:
        """One of the mdevs of all systems; one that does not exist if there is none."""
        found = [(system, uuid) for system in self.systems() for uuid in self.mdevs(system)]
        return found[which % len(found)] if found else (self.host.system, U1)

    def vms(self) -> Iterator[tuple[LinuxSystem, Vm]]:
        return ((system, vm) for system in self.systems() for vm in system.vmm.vms)

    def state(self) -> Any:
        """Everything that a refused operation must leave as it was."""
        views = [list(SysOps(system).snapshot()) for system in self.systems()]
        overrides = [
            (name, system.sysfs.read(f"bus/ap/devices/{name}/driver_override"))
            for system in self.systems()
            for name in system.sysfs.list("bus/ap/devices")
            if "." in name
        ]
        levels = [vm.level.matrix for _, vm in self.vms()]
        words = [self.word(Apqn(*apqn)) for apqn in itertools.product(ADAPTERS, DOMAINS)]
        return views, overrides, levels, words

    def word(self, apqn: Apqn) -> int:
        return self.machine.adapters[apqn.adapter].queue(apqn.domain).test().value

    @staticmethod
    def configured(system: LinuxSystem) -> Matrix:
        """What a system found at its last scan."""
        names = ("ap_adapter_mask", "ap_usage_domain_mask", "ap_control_domain_mask")
        contents = (system.sysfs.read(f"bus/ap/{name}").decode().rstrip("\n") for name in names)
        return Matrix(*map(Mask.parse_hex, contents))

    @staticmethod
    def assigned(system: LinuxSystem, uuid: str) -> Matrix:
        config = system.sysfs.read(f"{MATRIX}/{uuid}/ap_config").decode().rstrip("\n")
        return Matrix(*map(Mask.parse_hex, config.split(",")))

    @staticmethod
    def mdevs(system: LinuxSystem) -> list[str]:
        return [name for name in system.sysfs.list(MATRIX) if len(name) == 36]

    @staticmethod
    def driver(system: LinuxSystem, apqn: Apqn) -> str | None:
        try:
            return system.sysfs.readlink(f"bus/ap/devices/{apqn}/driver").rpartition("/")[2]
        except OSError:
            return None

    # doing

    def write(self, system: LinuxSystem, path: str, text: str) -> OSError | None:
        """Write; what is refused must change nothing."""
        before = self.state()
        try:
            assert system.sysfs.write(path, text.encode()) == len(text)
        except OSError as error:
            assert self.state() == before
            self.explained(error)
            return error
        return None

    def explained(self, error: OSError) -> None:
        assert error.errno

    @rule(which=which, name=st.sampled_from(("apmask", "aqmask")), text=mask_texts)
    def write_mask(self, which: int, name: str, text: str) -> None:
        self.write(self.pick(which), f"bus/ap/{name}", text)

    @rule(which=which, uuid=uuids)
    def create(self, which: int, uuid: str) -> None:
        self.write(self.pick(which), f"{TYPE}/create", uuid)

    @rule(which=which)
    def remove(self, which: int) -> None:
        system, uuid = self.pick_mdev(which)
        if self.POLICY == "protective" or uuid not in [vm.name for vm in system.vmm.vms]:  # Linux would wait
            self.write(system, f"{MATRIX}/{uuid}/remove", "1")

    @rule(which=which, kind=kinds, number=st.sampled_from((*ADAPTERS, *DOMAINS, 9)))
    def assign(self, which: int, kind: str, number: int) -> None:
        system, uuid = self.pick_mdev(which)
        self.write(system, f"{MATRIX}/{uuid}/assign_{kind}", str(number))

    @rule(which=which, kind=kinds, index=which)
    def unassign(self, which: int, kind: str, index: int) -> None:
        """Something that is assigned, if there is anything."""
        system, uuid = self.pick_mdev(which)
        matrix = self.assigned(system, uuid) if uuid in self.mdevs(system) else EVERYTHING
        mask = {"adapter": matrix.apm, "domain": matrix.aqm, "control_domain": matrix.adm}[kind] or Mask.of(9)
        self.write(system, f"{MATRIX}/{uuid}/unassign_{kind}", str(list(mask)[index % len(mask)]))

    @rule(which=which, matrix=matrices)
    def configure(self, which: int, matrix: Matrix) -> None:
        system, uuid = self.pick_mdev(which)
        self.write(system, f"{MATRIX}/{uuid}/ap_config", f"{matrix.apm},{matrix.aqm},{matrix.adm}\n")

    @rule(which=which, uuid=uuids, matrix=matrices, give=st.booleans())
    def provide(self, which: int, uuid: str, matrix: Matrix, give: bool) -> None:
        """Start a guest, or give one more."""
        system = self.pick(which)
        if give:
            self.write(system, "bus/ap/apmask", GIVE_ALL)
        self.host_guest(system, uuid, matrix)

    @rule(which=which, verb=st.sampled_from(("bind", "unbind")), apqn=queues)
    def rebind(self, which: int, verb: str, apqn: Apqn) -> None:
        system = self.pick(which)
        for driver in ("vfio_ap", "cex4queue"):
            self.write(system, f"bus/ap/drivers/{driver}/{verb}", str(apqn))

    @rule(which=which, apqn=queues, name=st.sampled_from(("vfio_ap", "cex4queue", "\n")))
    def override(self, which: int, apqn: Apqn, name: str) -> None:
        self.write(self.pick(which), f"bus/ap/devices/{apqn}/driver_override", name)

    @rule(which=which)
    def scan(self, which: int) -> None:
        self.write(self.pick(which), "bus/ap/scans", "1")

    @rule(matrix=st.one_of(st.just(EVERYTHING), matrices), scan=st.booleans())
    def edit_profile(self, matrix: Matrix, scan: bool) -> None:
        self.machine.set_profile("lpar", matrix)
        if scan:
            self.write(self.host.system, "bus/ap/scans", "1")

    @rule(adapter=st.sampled_from(ADAPTERS), state=st.sampled_from(AdapterState))
    def change_adapter(self, adapter: int, state: AdapterState) -> None:
        self.host.set_state(adapter, state)
        self.write(self.host.system, "bus/ap/scans", "1")

    @rule(which=which)
    def start(self, which: int) -> None:
        self.start_guest(*self.pick_mdev(which))

    def start_guest(self, system: LinuxSystem, uuid: str) -> Vm | None:
        before = self.state()
        try:
            vm = system.vmm.start(uuid)
        except Refused as refused:
            assert self.state() == before
            self.explained(refused.as_oserror())
            return None
        vm.boot_options["policy"] = self.POLICY
        assert vm.linux.level is vm.level  # boots it: that resets its queues
        return vm

    @precondition(lambda self: self.host and any(True for _ in self.vms()))
    @rule(which=which)
    def stop(self, which: int) -> None:
        vms = [vm for _, vm in self.vms()]
        vms[which % len(vms)].stop()

    @precondition(lambda self: self.host and any(len(vm.level.effective) for _, vm in self.vms()))
    @rule(which=which)
    def send(self, which: int) -> None:
        """A guest leaves replies in all its queues."""
        vms = [vm for _, vm in self.vms() if len(vm.level.effective)]
        self.use(vms[which % len(vms)])

    def use(self, vm: Vm) -> None:
        for apqn in vm.level.effective.apqns():
            self.machine.port(vm.level, apqn).nqap(1, b"request")

    # promises

    @invariant()
    def siblings_share_no_queue(self) -> None:
        for system in self.systems() if self.host else ():
            for one, other in itertools.combinations(system.vmm.vms, 2):
                assert not one.level.effective.shares_queues(other.level.effective)

    @invariant()
    def a_guest_has_what_is_assigned_configured_and_bound(self) -> None:
        for system, vm in self.vms() if self.host else ():
            assert vm.level.matrix <= self.assigned(system, vm.name) & self.configured(system)
            assert {self.driver(system, apqn) for apqn in vm.level.matrix.apqns()} <= {"vfio_ap"}
            assert vm.level.parent is not None
            assert vm.level.effective <= vm.level.parent.effective

    @invariant()
    def what_leaves_a_guest_is_clean(self) -> None:
        now = {vm: set(vm.level.effective.apqns()) for _, vm in self.vms()} if self.host else {}
        for vm, before in self.holding.items():
            for apqn in before - now.get(vm, set()):
                assert self.word(apqn) & 0x80000000, f"{apqn} left {vm} with something in it"
        self.holding = now


class ProtectiveMachine(HostMachine):
    """The same under policy = "protective"."""

    POLICY = "protective"

    def explained(self, error: OSError) -> None:
        assert error.errno is not None
        if error.errno != errno.ENOENT:  # a name that is not there says enough
            assert error.strerror != os.strerror(error.errno)

    def working(self) -> dict[Vm, Mask]:
        """The adapters that running guests can use; what an edited profile took away works no more."""
        return {vm: vm.level.effective.apm for _, vm in self.vms() if vm.level.effective.aqm}

    @rule(which=which, kind=kinds, number=st.sampled_from((*ADAPTERS, *DOMAINS, 9)))
    def assign(self, which: int, kind: str, number: int) -> None:
        before = self.working()
        super().assign(which, kind, number)
        for vm, adapters in before.items():
            assert adapters <= vm.level.matrix.apm

    @rule(index=which, domain=st.sampled_from(DOMAINS))
    def tempt(self, index: int, domain: int) -> None:
        """Assign a domain that has an unbound queue on an adapter which a guest works with."""
        working = [(system, vm) for system, vm in self.vms() if vm.level.matrix.apm and vm.level.matrix.aqm]
        if working:
            system, vm = working[index % len(working)]
            self.write(system, "bus/ap/drivers/vfio_ap/unbind", str(Apqn(next(iter(vm.level.matrix.apm)), domain)))
            before = vm.level.matrix.apm
            self.write(system, f"{MATRIX}/{vm.name}/assign_domain", str(domain))
            assert vm.level.matrix.apm == before

    @rule(which=which, apqn=queues)
    def unbind_held(self, which: int, apqn: Apqn) -> None:
        system = self.pick(which)
        holders = [uuid for uuid in self.mdevs(system) if apqn in self.assigned(system, uuid)]
        if holders and self.driver(system, apqn) == "vfio_ap":
            error = self.write(system, "bus/ap/drivers/vfio_ap/unbind", str(apqn))
            assert error is not None
            assert holders[0] in str(error)

    @rule(which=which)
    def rest(self, which: int) -> None:
        """After a scan an mdev has every adapter whose queues are all there."""
        system = self.pick(which)
        system.sysfs.write("bus/ap/scans", b"1")
        for uuid in self.mdevs(system):
            assigned = self.assigned(system, uuid) & self.configured(system)
            whole = Mask.of(
                *(
                    adapter
                    for adapter in assigned.apm
                    if all(self.driver(system, Apqn(adapter, domain)) == "vfio_ap" for domain in assigned.aqm)
                )
            )
            path = f"{MATRIX}/{uuid}/guest_matrix"
            shown = system.sysfs.read(path).decode().split()
            assert shown == [str(apqn) for apqn in Matrix(whole, assigned.aqm).apqns()] or not (
                whole and assigned.aqm
            )


LIMITS = settings(max_examples=50, stateful_step_count=30, suppress_health_check=list(HealthCheck))

TestLinux = HostMachine.TestCase
TestLinux.settings = LIMITS
TestProtective = ProtectiveMachine.TestCase
TestProtective.settings = LIMITS
