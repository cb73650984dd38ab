"""The matrix of a machine: who holds which queue, and why a guest has, or does not have, one."""

from __future__ import annotations

from apmatrix.arch import Apqn, Mask
from apmatrix.hosts import Explanation, MatrixView
from apmatrix.service.protocol.messages import MachineRequest


class GetMatrix(MachineRequest[MatrixView], frozen=True):
    """Each LPAR with its queues and their holders."""


class ExplainQueues(MachineRequest[tuple[Explanation, ...]], frozen=True):
    """Why a guest, by its name or its mdev's UUID, has or does not have a queue, or each queue that it is given."""

    guest: str
    apqn: Apqn | None = None

    def __post_init__(self) -> None:
        """ValueError for an APQN that cannot exist."""
        if self.apqn is not None:
            Mask.of(*self.apqn)
