"""The matrix of a machine: who holds which queue, and why a guest has, or does not have, one."""

from __future__ import annotations

from apmatrix.arch import Apqn
from apmatrix.hosts import Explanation, MatrixView
from apmatrix.service.protocol.messages import MachineRequest


class GetMatrix(MachineRequest[MatrixView], frozen=True):
    """Each LPAR with its queues and their holders."""


class ExplainQueues(MachineRequest[tuple[Explanation, ...]], frozen=True):
    """Why a guest, by its name or its mdev's UUID, has or does not have a queue, or each queue that it is given."""

    guest: str
    apqn: Apqn | None = None
