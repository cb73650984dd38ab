"""What the names in a request mean on a machine: its Linux systems and guests, running or not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from apmatrix.emulation import Subject, System, UnknownGuest, find_subject
from apmatrix.service.errors import ControlError, ExitCode
from apmatrix.service.protocol.names import Scope

if TYPE_CHECKING:
    from apmatrix.emulation import Emulation
    from apmatrix.service.protocol.names import SystemName


def find_system(emulation: Emulation, name: SystemName) -> System:
    """The Linux that a name or the options of a command mean, by default the first LPAR's.

    A VM that was started by UUID has that as its name. ControlError if there is none, if the name is ambiguous, if it
    is not running, or if another operating system has its level.
    """
    system = _by_name(emulation, name) if isinstance(name, str) else _in_scope(emulation, name or Scope())
    if system.linux.level in emulation.taken:
        sentence = f"{system.name} runs its own operating system (apmatrix boot): look inside it"
        raise ControlError(sentence, ExitCode.UNREACHABLE)
    return system


def find_guest(emulation: Emulation, name: str, *, lpar: str | None = None, host: System | None = None) -> Subject:
    """A guest or an mdev, as :func:`find_subject` finds it; ControlError where that raises UnknownGuest."""
    try:
        return find_subject(emulation, name, lpar=lpar, host=host)
    except UnknownGuest as error:
        raise ControlError(str(error), ExitCode.UNREADABLE) from error


def find_lpar(emulation: Emulation, name: str | None) -> System:
    """The Linux of an LPAR, by default of the first one; ControlError if there is none, or if it is not active."""
    known = [lpar.name for lpar in emulation.file.lpars]
    if name is not None and name not in known:
        sentence = f"there is no LPAR {name} in {emulation.machine.name}: the LPARs are {', '.join(known) or 'none'}"
        raise ControlError(sentence, ExitCode.UNREADABLE)
    system = next((each for each in emulation.lpars if name in (each.name, None)), None)
    if system is None:
        refusals = [refusal for refusal in emulation.refusals if name in (refusal.system, None)]
        why = "".join(f": {refusal}" for refusal in refusals)
        sentence = f"LPAR {name} is not active{why}" if name else f"no LPAR is active{why}"
        raise ControlError(sentence, findings=tuple(refusal.finding for refusal in refusals))
    return system


def not_running(subject: Subject) -> ControlError:
    """The refusal of what needs a running guest: why it is not running, and how to start it."""
    if subject.guest is not None and (refusal := subject.guest.refusal) is not None:
        sentence = f"guest {subject.name} is not running: it was refused: {refusal}"
        return ControlError(sentence, findings=(refusal.finding,))
    if subject.host is None:
        sentence = f"guest {subject.name} is not running, and neither is its host {'/'.join(subject.names[:-1])}"
        return ControlError(sentence, ExitCode.UNREACHABLE)
    remedy = f"apmatrix guest start {subject.name}"
    return ControlError(f"guest {subject.name} is not running: {remedy}", ExitCode.UNREACHABLE)


def _by_name(emulation: Emulation, name: str) -> System:
    """An LPAR, whose name is a full one, or else a guest."""
    lpars = [lpar.name for lpar in emulation.file.lpars]
    if name in lpars:
        return find_lpar(emulation, name)
    try:
        return _running(emulation, find_subject(emulation, name))
    except UnknownGuest as error:
        raise ControlError(f"{error}; the LPARs are {', '.join(lpars)}", ExitCode.UNREADABLE) from error


def _in_scope(emulation: Emulation, scope: Scope) -> System:
    if scope.guest is None:
        return find_lpar(emulation, scope.lpar)
    if scope.lpar is not None:
        find_lpar(emulation, scope.lpar)
    return _running(emulation, find_guest(emulation, scope.guest, lpar=scope.lpar))


def _running(emulation: Emulation, subject: Subject) -> System:
    """The Linux in a guest; ControlError unless the guest is running."""
    system = next((each for each in emulation.known_systems() if each.names == subject.names), None)
    if system is not None:
        return system
    vm = subject.vm
    if vm is None:
        raise not_running(subject)
    return System.of(subject.names, vm.linux)
