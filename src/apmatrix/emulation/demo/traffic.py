"""Part two: real RSA requests through every queue, from inside the systems that have them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from apmatrix.arch import Mode
from apmatrix.config import counted
from apmatrix.emulation.programs import Program
from apmatrix.emulation.rsa import Question

if TYPE_CHECKING:
    from apmatrix.emulation.bringup import Emulation
    from apmatrix.emulation.demo.report import Report
    from apmatrix.emulation.rsa import RsaKey

PROGRAMS = 8
"""Programs that send at the same time."""


def send_through_all(emulation: Emulation, key: RsaKey, report: Report) -> int:
    """Send one request of each form through each queue of each system; returns the number of right results."""
    report.section(f"RSA with {8 * key.length}-bit keys through every queue, from inside")
    right = 0
    with ThreadPoolExecutor(PROGRAMS) as pool:
        for system in emulation.systems():
            program = Program(system)
            right += _send(program, key, pool, report)
            if ep11 := len(program.queues(Mode.EP11)):
                report.line(f"        {system.name}: {counted(ep11, 'EP11 queue')} left out: no keys in the clear")
    return right


def _send(program: Program, key: RsaKey, pool: ThreadPoolExecutor, report: Report) -> int:
    """Send through the queues of one system; returns the number of right results."""
    queues = program.rsa_queues()
    if not queues:
        return 0
    jobs = [(apqn, Question.random(key, crt=crt)) for apqn in queues for crt in (False, True)]
    troubles = list(pool.map(lambda job: program.trouble(*job), jobs))
    for (apqn, question), trouble in zip(jobs, troubles, strict=True):
        if trouble:
            report.line(f"        {apqn} {question.form}: {trouble}")
    right = troubles.count("")
    text = (
        f"{program.system.name}: {counted(len(jobs), 'request')} (ME and CRT) through "
        f"{counted(len(queues), 'queue')}, {right} of {len(jobs)} results match pow()"
    )
    report.check(text, passed=right == len(jobs))
    return right
