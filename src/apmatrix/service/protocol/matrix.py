"""The matrix of a machine: who holds which queue."""

from __future__ import annotations

from apmatrix.hosts import MatrixView
from apmatrix.service.protocol.messages import Request


class GetMatrix(Request[MatrixView], frozen=True):
    """Each LPAR with its queues and their holders."""
