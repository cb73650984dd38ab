"""Programs in an emulated Linux, which send requests to zcrypt as they would through ``/dev/z90crypt``."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from apmatrix.arch import ApmatrixError, Mode
from apmatrix.rules.ownership import HOST_DRIVER

if TYPE_CHECKING:
    from apmatrix.arch import Apqn
    from apmatrix.emulation.bringup import System
    from apmatrix.emulation.rsa import Question

PATIENCE = 20.0
"""Seconds after which a program gives up; Linux itself waits for minutes, a card answers in milliseconds."""


class Program:
    """One program; its calls may come from several threads."""

    def __init__(self, system: System) -> None:
        self.system = system

    def trouble(self, apqn: Apqn, question: Question) -> str:
        """Ask through one queue only; returns what was wrong, or an empty text if the answer is right."""
        verdict = [f"no answer within {PATIENCE:.0f} s"]

        def ask() -> None:
            verdict.append(self._ask(apqn, question))

        # In a thread that can be abandoned: a request to zcrypt cannot be cancelled.
        asking = threading.Thread(target=ask, name=f"program-{apqn}", daemon=True)
        asking.start()
        asking.join(PATIENCE)
        return verdict[-1]

    def _ask(self, apqn: Apqn, question: Question) -> str:
        try:
            answer = self.system.linux.zcrypt.rsa(question.request(), queue=str(apqn))
        except ApmatrixError as error:
            return str(error)
        return "" if question.is_answered_by(answer) else "the answer is wrong"

    def queues(self, *modes: Mode) -> tuple[Apqn, ...]:
        """The online queues of cards of these modes that are bound to the system's own driver."""
        linux = self.system.linux
        with linux.kernel:
            return tuple(
                apqn
                for apqn, queue in linux.ap.queues.items()
                if queue.usable
                and queue.driver is not None
                and queue.driver.name == HOST_DRIVER
                and queue.card.mode in modes
            )

    def rsa_queues(self) -> tuple[Apqn, ...]:
        """The queues that take RSA keys in the clear: not those of EP11 coprocessors."""
        return self.queues(Mode.ACCELERATOR, Mode.CCA)
