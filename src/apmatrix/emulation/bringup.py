"""From a file to a running machine, as an administrator would do it: through sysfs and KVM."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Self

from apmatrix.arch import ApmatrixError
from apmatrix.arch.events import GuestStarted, GuestStopped
from apmatrix.cards import AdapterState, CardContext, WrappingKey
from apmatrix.config import Finding, GuestFile, Severity
from apmatrix.config.findings import dotted
from apmatrix.emulation.filekeys import give_master_keys
from apmatrix.emulation.refusal import machine_refusal
from apmatrix.emulation.testbed import Testbed, faults_of
from apmatrix.emulation.tree import SysfsTree
from apmatrix.emulation.turns import Turns
from apmatrix.hosts import Refusal, Shell
from apmatrix.hosts.facts import MATRIX, MDEV_TYPE
from apmatrix.linux import LinuxSystem
from apmatrix.machine import ActivationProfile, Cpc
from apmatrix.rules.findings import Holder
from apmatrix.rules.refusals import Exists

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from uuid import UUID

    from apmatrix.cards import Clock, Store, Workers
    from apmatrix.config import AdapterFile, HostSettings, LparFile, MachineFile
    from apmatrix.config.places import Path
    from apmatrix.linux import Vm
    from apmatrix.machine import Level


@dataclass
class System:
    """A running Linux: an LPAR's or a guest's. ``names`` lead to it from the LPAR down, ``start`` boots it.

    ``file`` is what the machine's file says about it, if anything.
    """

    names: tuple[str, ...]
    start: Callable[[], LinuxSystem]
    file: LparFile | GuestFile | None = None
    guests: list[Guest] = field(default_factory=list)
    linux: LinuxSystem = field(init=False)
    shell: Shell = field(init=False)

    def __post_init__(self) -> None:
        """Boot at once, so that ``linux`` is always set."""
        self.boot()

    @classmethod
    def of(cls, names: tuple[str, ...], linux: LinuxSystem) -> Self:
        """A running Linux that is in no configuration file."""
        return cls(names, lambda: linux)

    def boot(self) -> None:
        """Start its Linux, or restart it."""
        self.linux = self.start()
        self.shell = Shell(self.name, SysfsTree(self.linux.sysfs))

    @property
    def name(self) -> str:
        """The names as one: ``kvm1/guest1``."""
        return "/".join(self.names)


@dataclass
class Guest:
    """A guest of the file: its mdev at ``host``, and its VM and its Linux while it is running.

    ``refusal`` is how its host refused its mdev, which is then not ``defined``, or its start.
    """

    names: tuple[str, ...]
    file: GuestFile
    host: System
    defined: bool = False
    refusal: Refusal | None = None
    vm: Vm | None = None
    system: System | None = None

    @property
    def name(self) -> str:
        """The names as one: ``kvm1/guest1``."""
        return "/".join(self.names)

    @property
    def uuid(self) -> str:
        """The name of its mdev."""
        return str(self.file.uuid)

    @property
    def mdev(self) -> str:
        """The path of its mdev."""
        return f"{MATRIX}/{self.uuid}"


class Emulation:
    """A machine with all its systems; a context manager that ends them.

    ``taken`` has the levels at which another operating system is running instead of the emulated one. Callers that
    start or stop a guest, or take a level, must hold ``changing``; readers need not. ``turns`` are those of the
    administrators of master keys.
    """

    def __init__(self, file: MachineFile, machine: Cpc, store: Store | None, workers: Workers | None) -> None:
        self.file = file
        self.machine = machine
        self.testbed = Testbed(machine)
        self._store = store
        self._workers = workers or machine.workers
        self._wrapping_key = WrappingKey()  # the processors', which all cards share
        self.lpars: list[System] = []
        self.taken: set[Level] = set()
        self.refusals: list[Refusal] = []
        self.changing = threading.RLock()
        self.turns = Turns()

    @classmethod
    def start(
        cls,
        file: MachineFile,
        *,
        clock: Clock | None = None,
        store: Store | None = None,
        workers: Workers | None = None,
    ) -> Self:
        """Bring up everything that the file describes.

        What the machine or a kernel refuses is in ``refusals``, and the rest goes on: an LPAR without a valid profile
        is not activated, a guest whose assignment is refused is not started. The cards' master keys are in ``store``;
        without one they end with the machine. Empty registers get the keys of the file. ``workers`` do the cards'
        arithmetic, by default the machine's threads. VaultError if the store cannot be read, ConfigError if the file
        describes faults that are not valid, or a part of a master key that is needed cannot be used.
        """
        settings = file.machine
        faults = faults_of(file)
        machine = Cpc(
            settings.name or "machine",
            clock=clock,
            facilities=settings.facilities,
            features=settings.features,
            max_adapter=settings.max_adapter,
            max_domain=settings.max_domain,
        )
        emulation = cls(file, machine, store, workers)
        for entry in file.adapters:
            emulation.plug(entry)
        give_master_keys(file, machine.adapters)
        emulation.testbed.add_faults(faults)
        for lpar in file.lpars:
            emulation._start_lpar(lpar)
        return emulation

    def plug(self, entry: AdapterFile) -> None:
        """Put cards into the machine; the LPARs that have them in their profiles are notified and scan.

        ApmatrixError if a number is taken or beyond the machine's highest, and then none is plugged.
        """
        settings = self.file.machine
        for number in entry.numbers:
            self.machine.check_adapter(number)
        for number in entry.numbers:
            adapter = self.machine.add_adapter(
                number,
                entry.type,
                functions=entry.functions,
                depth=entry.depth,
                state=AdapterState(entry.state),
                context=CardContext.of(number, self._store, self._wrapping_key, settings.max_domain + 1),
                workers=self._workers,
            )
            self.testbed.equip(adapter, settings.timing)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def close(self) -> None:
        """End the machine, with all guests, the innermost first, and the Linux of each LPAR.

        It is powered off first: no kernel then waits for a queue whose reset never ends (MTX-70).
        """
        self.machine.power_off()
        with self.changing:
            for guest in reversed(tuple(self.guests())):
                self.stop_guest(guest)
            while self.lpars:
                self.lpars.pop().linux.shut_down()
            self.machine.close()
            self.testbed.close()

    def stop_guest(self, guest: Guest) -> None:
        """Stop a guest and the guests in it; its mdev stays. Nothing happens if it is not running."""
        with self.changing:
            if guest.vm is not None:
                ended = [*_ends_below(guest.vm), GuestStopped(guest.name, guest.uuid)]
                guest.vm.stop()
                guest.vm = guest.system = None
                self._announce_all(ended)

    def start_vm(self, host: LinuxSystem, uuid: str, name: str | None = None) -> Vm:
        """Start a VM with an mdev of ``host``, and nothing in it; Refused as by the kernel."""
        with self.changing:
            vm = host.vmm.start(uuid, name)
            self.machine.announce(GuestStarted(vm.level.path, uuid))
            return vm

    def stop_vm(self, vm: Vm) -> None:
        """Stop a VM that :meth:`start_vm` started, with all that runs in it."""
        with self.changing:
            ended = [*_ends_below(vm), *_ends([vm])]
            vm.stop()
            self._announce_all(ended)

    def _announce_all(self, events: Iterable[GuestStopped]) -> None:
        for event in events:
            self.machine.announce(event)

    def systems(self) -> Iterator[System]:
        """All running systems, a host before its guests."""
        return (system for system in self.known_systems() if system.linux.level not in self.taken)

    def known_systems(self) -> Iterator[System]:
        """All running systems, and those whose level another operating system has."""
        for lpar in self.lpars:
            yield lpar
            yield from (system for guest in _guests(lpar) if (system := guest.system) is not None)

    def guests(self) -> Iterator[Guest]:
        """All guests whose host is running, a host before its guests."""
        for lpar in self.lpars:
            yield from _guests(lpar)

    @property
    def unforeseen(self) -> list[Refusal]:
        """The refusals of which the file's findings do not tell already, with the line and what to write."""
        told = self.file.refused()
        owners = {id(guest.refusal): guest.names for guest in self.guests()}
        return [each for each in self.refusals if owners.get(id(each), tuple(each.system.split("/"))) not in told]

    @property
    def complaints(self) -> list[Finding]:
        """What the machine refuses of its file, each once: in the file's words where its findings have it."""
        refused = [finding for finding in self.file.findings if finding.severity is Severity.REFUSED]
        return [*refused, *(refusal.finding for refusal in self.unforeseen)] if self.refusals else []

    @cached_property
    def _paths(self) -> dict[tuple[str, ...], Path]:
        return dict(self.file.paths())

    def _located(self, refusal: Refusal, names: tuple[str, ...], *below: str | int) -> Refusal:
        """The refusal with its place in the file, below that of a system, and with the names of guests that hold."""
        finding = refusal.finding
        known = {guest.uuid: Holder("guest", guest.name, guest.uuid) for guest in self.guests() if finding.holders}
        holders = tuple(
            Holder("host", refusal.system) if each.kind == "host" else known.get(each.uuid, each)
            for each in finding.holders
        )
        own = self._paths.get(names, ())
        path = (*own, *below)
        line = self.file.places.line(path)
        located = replace(
            finding, holders=holders, refuses=(dotted(own),), file=self.file.path, line=line, path=dotted(path)
        )
        return replace(refusal, finding=located)

    def _start_lpar(self, lpar: LparFile) -> None:
        try:
            level = self.machine.add_lpar(ActivationProfile(lpar.name, lpar.profile)).level
        except ApmatrixError as error:
            self.refusals.append(self._located(machine_refusal(lpar.name, "activation", error), (lpar.name,)))
            return
        host = lpar.host
        system = System(
            (lpar.name,),
            lambda: LinuxSystem(self.machine, level, name=lpar.name, vfio_ap=host.vfio_ap, policy=host.policy),
            lpar,
        )
        self.lpars.append(system)
        self._set_up(system)

    def make_room(self, system: System) -> None:
        """Shut a Linux and its guests down, so that another operating system has its level until :meth:`boot`.

        That one finds the level's queues empty and zeroized, whatever became of their resets.
        """
        with self.changing:
            for guest in reversed(tuple(_guests(system))):
                self.stop_guest(guest)
            ended = [*_ends(system.linux.vmm.vms)]
            system.linux.shut_down()
            self.machine.zeroize(system.linux.level)
            self._announce_all(ended)

    def boot(self, system: System) -> None:
        """Start a Linux again, and set it up as the file says."""
        with self.changing:
            system.boot()
            system.guests.clear()
            self._set_up(system)

    def _set_up(self, system: System) -> None:
        """Set up a Linux that has just started as the file says: masks first, then mdevs and guests."""
        self.refusals = [each for each in self.refusals if not f"{each.system}/".startswith(f"{system.name}/")]
        if system.file is None:
            return
        host = system.file.host
        for attribute, writes in (("apmask", host.apmask), ("aqmask", host.aqmask)):
            for index, text in enumerate(writes):
                if refusal := system.shell.write(f"bus/ap/{attribute}", text):
                    place = ("host", attribute) if len(writes) == 1 else ("host", attribute, index)
                    self.refusals.append(self._located(refusal, system.names, *place))
        for file in system.file.guests:
            guest = Guest((*system.names, file.name), file, system)
            system.guests.append(guest)
            guest.refusal = define(guest)
            guest.defined = guest.refusal is None
            if guest.defined and file.start:
                guest.refusal = self._try_to_start(guest)
            if guest.refusal:
                guest.refusal = self._located(guest.refusal, guest.names)
                self.refusals.append(guest.refusal)

    def _try_to_start(self, guest: Guest) -> Refusal | None:
        try:
            self.start_guest(guest)
        except ApmatrixError as error:
            return machine_refusal(guest.host.name, f"start of {guest.file.name}", error)
        return None

    def start_guest(self, guest: Guest) -> None:
        """Start a guest's VM with its mdev, and its Linux as the file says; raises Refused as the kernel refuses."""
        host = guest.file.host
        with self.changing:
            vm = guest.host.linux.vmm.start(guest.uuid, guest.file.name)
            vm.boot_options = {"vfio_ap": host.vfio_ap, "policy": host.policy}
            try:
                system = System(guest.names, vm.reboot, guest.file)
            except BaseException:
                vm.stop()
                raise
            guest.vm, guest.system = vm, system
            guest.defined, guest.refusal = True, None
            self._set_up(system)
            self.machine.announce(GuestStarted(guest.name, guest.uuid))

    def start_mdev(self, host: System, uuid: UUID, name: str, settings: HostSettings) -> Guest:
        """Start a VM with an mdev that was created through sysfs.

        Until ``host`` reboots, it is a guest like those of the file. Raises Refused as the kernel refuses, Exists if
        another guest has the name.
        """
        with self.changing:
            guest = next((each for each in host.guests if each.file.uuid == uuid), None)
            if guest is None:
                if any(each.file.name == name for each in host.guests):
                    raise Exists(
                        f"{host.name} has another guest {name}",
                        holder=Holder("guest", f"{host.name}/{name}"),
                        remedy="choose another name",
                    )
                file = GuestFile(name=name, uuid=uuid, host=settings)
                guest = Guest((*host.names, name), file, host)
            self.start_guest(guest)
            if guest not in host.guests:
                host.guests.append(guest)
            return guest


def _ends(vms: Iterable[Vm]) -> Iterator[GuestStopped]:
    """What is to be said when these VMs have ended, the innermost first."""
    for vm in vms:
        yield from _ends_below(vm)
        mdev = next((file.mdev.name for file in vm.files), None)
        if mdev is not None:
            yield GuestStopped(vm.level.path, mdev)


def _ends_below(vm: Vm) -> Iterator[GuestStopped]:
    return _ends(vm.linux.vmm.vms if vm.booted else ())


def define(guest: Guest) -> Refusal | None:
    """Create a guest's mdev and assign what the file says; returns the first refusal, if any.

    In that case the mdev is removed again, as mdevctl does, so that it does not keep queues from other guests.
    """
    shell = guest.host.shell
    shell.mdevs[guest.uuid] = f"{guest.file.name}'s mdev"
    if refusal := shell.write(f"{MDEV_TYPE}/create", guest.uuid):
        return refusal
    file = guest.file
    for attribute, numbers in (
        ("assign_adapter", file.adapters),
        ("assign_domain", file.domains),
        ("assign_control_domain", file.control_domains),
    ):
        for number in numbers:
            if refusal := shell.write(f"{guest.mdev}/{attribute}", str(number)):
                shell.write(f"{guest.mdev}/remove", "1")
                return refusal
    return None


def _guests(system: System) -> Iterator[Guest]:
    for guest in tuple(system.guests):
        yield guest
        if (below := guest.system) is not None:
            yield from _guests(below)
