"""Part two: real RSA requests through every queue, from inside the systems that have them."""

from __future__ import annotations

import secrets
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from apmatrix.arch import ApmatrixError, Mode
from apmatrix.config import counted
from apmatrix.emulation.programs import Program
from apmatrix.emulation.rsa import RsaRequest

if TYPE_CHECKING:
    from apmatrix.arch import Apqn
    from apmatrix.emulation.bringup import Emulation, System
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
            queues = program.queues()
            if queues:
                rsa_queues = [apqn for apqn in queues if program.mode(apqn) is not Mode.EP11]
                right += _send(program, rsa_queues, key, pool, report)
            if len(queues) and len(rsa_queues) < len(queues):
                report.line(f"{system.name}: {len(queues) - len(rsa_queues)} EP11 queues take no clear keys")
    return right


def _send(program: Program, queues: list[Apqn], key: RsaKey, pool: ThreadPoolExecutor, report: Report) -> int:
    """Send through the queues of one system; returns the number of right results."""
    jobs = [(apqn, RsaRequest(key, secrets.randbelow(key.n), crt=crt)) for apqn in queues for crt in (False, True)]
    verdicts = list(pool.map(lambda job: verdict(program, *job), jobs))
    for (apqn, request), trouble in zip(jobs, verdicts, strict=True):
        if trouble:
            report.line(f"{apqn} {request.name}: {trouble}")
    right = verdicts.count("")
    text = (
        f"{program.system.name}: {counted(len(jobs), 'request')} (ME and CRT) through "
        f"{counted(len(queues), 'queue')}, {counted(right, 'result')} as pow() says"
    )
    report.check(text, passed=right == len(jobs))
    return right


def verdict(program: Program, apqn: Apqn, request: RsaRequest) -> str:
    """Empty if the card's result is right, else what was wrong."""
    try:
        result = program.compute(apqn, request)
    except ApmatrixError as error:
        return str(error)
    return "" if request.is_right(result) else "the result is wrong"


def whole_system_works(system: System, key: RsaKey) -> bool:
    """True if every queue of a system computes what it should."""
    program = Program(system)
    return not any(
        verdict(program, apqn, RsaRequest(key, secrets.randbelow(key.n), crt=True))
        for apqn in program.queues()
        if program.mode(apqn) is not Mode.EP11
    )
