"""What a running machine does when asked: guests, profiles, adapters, its log."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any, Final

from apmatrix.arch import Mask, Matrix
from apmatrix.cards import AdapterState
from apmatrix.emulation import System, look
from apmatrix.faces.lines import ControlError
from apmatrix.linux import Refused
from apmatrix.service import keys, testing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from apmatrix.emulation import Emulation, Guest
    from apmatrix.linux import Vm
    from apmatrix.service.server import MachineServer


def find_system(emulation: Emulation, name: str | None) -> System:
    """The Linux system of that name: an LPAR's, a running guest's (``guest1``, ``kvm1/guest1``), the first LPAR's.

    A VM that was started by UUID goes by that. ControlError lists what there is.
    """
    systems = {system.names: system for system in emulation.known_systems()}
    vms = {(*system.names, vm.name): vm for system, vm in _vms(emulation)}
    known = tuple(systems | vms)
    found = [names for names in known if name in ("/".join(names), names[-1])] if name else known[:1]
    if len(found) == 1:
        (names,) = found
        level = vms[names].level if names in vms else systems[names].linux.level
        if level in emulation.taken:
            raise ControlError(f"{'/'.join(names)} runs another operating system, by apmatrix boot: look in there")
        return systems.get(names) or System.of(names, vms[names].linux)
    if found:
        raise ControlError(f"{name} may be {' or '.join(map('/'.join, found))}", code=2)
    there = ", ".join(map("/".join, known)) or "none"
    raise ControlError(f"no Linux system {name or ''} runs in this machine; there is {there}", code=2)


def _status(server: MachineServer, _system: System | None, _request: dict[str, Any]) -> dict[str, Any]:
    emulation = server.emulation
    return {
        "machine": server.name,
        "systems": [system.name for system in emulation.systems()],
        "guests": _guests(emulation),
        "sessions": server.sessions,
        "refused": [str(refusal) for refusal in emulation.refusals],
    }


def _guests(emulation: Emulation) -> list[dict[str, Any]]:
    """Guests of the file, and VMs that were started by UUID."""
    known = {guest.uuid: guest for guest in emulation.guests()}
    found = [{"name": guest.name, "uuid": guest.uuid, "running": guest.vm is not None} for guest in known.values()]
    for system, vm in _vms(emulation):
        mdev = next((file.mdev.name for file in vm.files), vm.name)
        if mdev not in known:
            found.append({"name": f"{system.name}/{vm.name}", "uuid": mdev, "running": True})
    return found


def _vms(emulation: Emulation) -> Iterator[tuple[System, Vm]]:
    for system in emulation.systems():
        for vm in system.linux.vmm.vms:
            yield system, vm


def _guest(server: MachineServer, system: System | None, request: dict[str, Any]) -> Any:
    action = request["action"]
    if action == "list":
        return _guests(server.emulation)
    here = system or find_system(server.emulation, request.get("system"))
    name = str(request["name"])
    with server.emulation.changing:
        guest = _find_guest(server.emulation, here, name)
        if action == "start":
            return _start(server.emulation, here, guest, name)
        return _stop(server.emulation, here, guest, name)


def _find_guest(emulation: Emulation, here: System, name: str) -> Guest | None:
    """A guest of the file: those of the system that is asked come first."""
    everywhere = sorted(emulation.guests(), key=lambda guest: guest.host is not here)
    return next((guest for guest in everywhere if name.lower() in (guest.uuid, guest.name, guest.names[-1])), None)


def _start(emulation: Emulation, here: System, guest: Guest | None, name: str) -> dict[str, Any]:
    if guest is not None and guest.refusal is None:
        if guest.vm is not None:
            raise ControlError(f"guest {guest.name} runs already")
        emulation.start_guest(guest)
        return {"name": guest.name, "uuid": guest.uuid}
    try:
        mdev = str(uuid.UUID(name))
    except ValueError:
        reason = f": it was refused: {guest.refusal}" if guest else "; give the UUID of an mdev"
        raise ControlError(f"{here.name} has no guest {name}{reason}", code=1 if guest else 2) from None
    here.linux.vmm.start(mdev)
    return {"name": f"{here.name}/{mdev}", "uuid": mdev}


def _stop(emulation: Emulation, here: System, guest: Guest | None, name: str) -> dict[str, Any]:
    if guest is not None and guest.vm is not None:
        emulation.stop_guest(guest)
        return {"name": guest.name, "uuid": guest.uuid}
    if guest is not None and guest.host is not here:
        raise ControlError(f"guest {guest.name} does not run")
    try:
        vm = here.linux.vmm.find(name)
    except Refused as refused:
        reason = f"guest {guest.name} does not run" if guest else f"{refused}; apmatrix guest list shows what does"
        raise ControlError(reason) from refused
    vm.stop()
    return {"name": f"{here.name}/{vm.name}", "uuid": name}


def _set_lpar(server: MachineServer, _system: System | None, request: dict[str, Any]) -> dict[str, Any]:
    """Edit the running activation profile; what is not given stays."""
    machine = server.emulation.machine
    name = request["name"]
    if name not in machine.lpars:
        raise ControlError(f"there is no LPAR {name} in {machine.name}: {', '.join(machine.lpars)}", code=2)
    now = machine.lpars[name].profile.matrix
    fields = {"apm": "adapters", "aqm": "usage_domains", "adm": "control_domains"}
    masks = {
        mask: Mask.parse_ids(text) if (text := request.get(field)) is not None else getattr(now, mask)
        for mask, field in fields.items()
    }
    matrix = Matrix(**masks)
    machine.set_profile(name, matrix)
    return {"name": name, **{field: getattr(matrix, mask).ranges() for mask, field in fields.items()}}


def _set_adapter(server: MachineServer, _system: System | None, request: dict[str, Any]) -> dict[str, Any]:
    machine = server.emulation.machine
    number = int(request["id"])
    if number not in machine.adapters:
        known = Mask.of(*machine.adapters).ranges()
        raise ControlError(f"there is no adapter {number} in {machine.name}: {known or 'it has none'}", code=2)
    state = AdapterState(request["state"])
    machine.set_adapter_state(number, state)
    return {"id": number, "state": state.value}


def _log(server: MachineServer, system: System | None, request: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"time": entry.time, "severity": entry.level.name.lower(), "text": entry.text}
        for entry in _chosen(server, system, request).linux.log.entries
    ]


def _key(server: MachineServer, system: System | None, request: dict[str, Any]) -> Any:
    return keys.administer(server.emulation, _chosen(server, system, request), request)


def _fault(server: MachineServer, _system: System | None, request: dict[str, Any]) -> Any:
    return testing.change_faults(server.emulation, request)


def _record(server: MachineServer, _system: System | None, request: dict[str, Any]) -> Any:
    return testing.record(server.emulation, request)


def _playback(server: MachineServer, system: System | None, request: dict[str, Any]) -> Any:
    return testing.replay(server.emulation, _chosen(server, system, request), request)


def _chosen(server: MachineServer, system: System | None, request: dict[str, Any]) -> System:
    """The system that the request names, else the one that the client sits in."""
    wanted = request.get("system")
    return system if system and not wanted else find_system(server.emulation, wanted)


def _show(server: MachineServer, _system: System | None, _request: dict[str, Any]) -> dict[str, Any]:
    return look(server.emulation).as_json()


OPERATIONS: Final[dict[str, Callable[[MachineServer, System | None, dict[str, Any]], Any]]] = {
    "status": _status,
    "guest": _guest,
    "lpar": _set_lpar,
    "adapter": _set_adapter,
    "log": _log,
    "key": _key,
    "fault": _fault,
    "record": _record,
    "playback": _playback,
    "show": _show,
}
"""Requests by their name; each gets the server, the system that the client sits in, and the request."""
