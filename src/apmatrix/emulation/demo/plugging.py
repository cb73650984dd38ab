"""Part four: adapters or domains leave a running guest and come back, while its programs keep working."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from apmatrix.arch import Apqn, ResponseCode
from apmatrix.config import counted
from apmatrix.emulation import programs
from apmatrix.emulation.programs import Program
from apmatrix.emulation.rsa import Question
from apmatrix.hosts.facts import assigned_matrix

if TYPE_CHECKING:
    from apmatrix.emulation.bringup import Emulation, Guest, System
    from apmatrix.emulation.demo.report import Report
    from apmatrix.emulation.rsa import RsaKey


@dataclass(frozen=True)
class _Plan:
    """What is unplugged: an adapter or a domain of ``top``'s mdev; ``user`` runs the programs."""

    top: Guest
    user: System
    kind: str
    number: int
    leaving: Apqn
    staying: Apqn


def plug(emulation: Emulation, key: RsaKey, report: Report) -> None:
    """Unplug and plug again, while programs keep sending; check what they get."""
    report.section("Hot unplug and hot plug while requests run")
    plan = _plan(emulation)
    if plan is None:
        report.line("No guest has two queues that could be separated: nothing to do here.")
        return
    below = "" if plan.user.names == plan.top.names else f", whose guest {plan.user.name} uses it"
    what = f"{plan.kind} {plan.number:#04x}"
    with _Stream(plan.user, plan.leaving, key) as leaving, _Stream(plan.user, plan.staying, key) as staying:
        steady = staying.goes_on() and leaving.goes_on()
        report.check(f"{plan.user.name} works on {plan.leaving} and {plan.staying}", passed=steady)
        _unplug(emulation, plan, f"{what} from {plan.top.name}{below}", report)
        steady = staying.goes_on()
        report.check(f"{plan.staying} keeps working, undisturbed", passed=steady and not staying.troubles)
        _plug(plan, f"{what} into {plan.top.name}", report)
        report.check(f"{plan.leaving} works again", passed=leaving.goes_on())
    report.check(
        f"{staying.right} results of {plan.staying} and {leaving.right} of {plan.leaving} were right, none was "
        f"wrong; {counted(len(leaving.troubles), 'request')} of {plan.leaving} ended with an error while it was away",
        passed=not staying.troubles and not any("wrong" in trouble for trouble in leaving.troubles),
    )


def _plan(emulation: Emulation) -> _Plan | None:
    """The deepest guest with two queues that differ in the adapter or the domain."""
    running = [guest for guest in emulation.guests() if guest.system is not None]
    for guest in sorted(running, key=lambda guest: -len(guest.names)):
        assert guest.system is not None
        queues = Program(guest.system).rsa_queues()
        top = next(other for other in running if other.names == guest.names[:2])
        for axis, kind in ((0, "adapter"), (1, "domain")):
            others = [apqn for apqn in queues if apqn[axis] != queues[0][axis]]
            if others:
                return _Plan(top, guest.system, kind, others[-1][axis], others[-1], queues[0])
    return None


def _unplug(emulation: Emulation, plan: _Plan, what: str, report: Report) -> None:
    path = f"{plan.top.mdev}/unassign_{plan.kind}"
    refusal = plan.top.host.shell.write(path, str(plan.number))
    report.line(f"        unplug {what}: echo {plan.number} > {path}")
    status, _ = emulation.machine.port(plan.user.linux.level, plan.leaving).tapq()
    gone = status.response_code is ResponseCode.NOT_AVAILABLE and plan.leaving not in assigned_matrix(
        plan.top.host.shell.tree, plan.top.uuid
    )
    report.check(
        f"{plan.leaving} is gone at once: TAPQ answers {status.response_code:02x} in {plan.user.name}",
        passed=refusal is None and gone,
    )


def _plug(plan: _Plan, what: str, report: Report) -> None:
    path = f"{plan.top.mdev}/assign_{plan.kind}"
    refusal = plan.top.host.shell.write(path, str(plan.number))
    report.line(f"        plug {what}: echo {plan.number} > {path}")
    _scan_below(plan.top.host)
    back = plan.leaving in Program(plan.user).rsa_queues()
    report.check(f"{plan.user.name} found {plan.leaving} again", passed=refusal is None and back)


def _scan_below(system: System) -> None:
    """Let every guest scan its bus at once, instead of at its next regular scan."""
    for guest in system.guests:
        if guest.system is not None:
            guest.system.shell.write("bus/ap/scans", "1")
            _scan_below(guest.system)


class _Stream:
    """A program that sends CRT requests through one queue, one after the other, until it is stopped."""

    def __init__(self, system: System, apqn: Apqn, key: RsaKey) -> None:
        self._program = Program(system)
        self._apqn = apqn
        self._key = key
        self._changed = threading.Condition()
        self._stop = False
        self._thread = threading.Thread(target=self._run, name=f"stream-{apqn}", daemon=True)
        self.right = 0
        self.troubles: list[str] = []

    def __enter__(self) -> _Stream:
        self._thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        with self._changed:
            self._stop = True
            self._changed.notify_all()
        self._thread.join()

    def goes_on(self) -> bool:
        """Wait for two more right results; False if they do not come."""
        with self._changed:
            wanted = self.right + 2
            return self._changed.wait_for(lambda: self.right >= wanted, programs.PATIENCE)

    def _run(self) -> None:
        while not self._stop:
            trouble = self._program.trouble(self._apqn, Question.random(self._key, crt=True))
            with self._changed:
                if trouble:
                    self.troubles.append(trouble)
                    self._changed.wait(0.01)  # as a program does before it tries again
                else:
                    self.right += 1
                self._changed.notify_all()
