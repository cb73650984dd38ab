"""A Linux seen from outside: its files through a tree, the facts in them, and what follows. Builds on rules."""

from apmatrix.hosts.explain import Explanation, Step
from apmatrix.hosts.facts import HostFacts, read_facts
from apmatrix.hosts.shell import Refusal, Shell
from apmatrix.hosts.snapshot import RecordingTree, Snapshot
from apmatrix.hosts.tree import LocalTree, Query, QueryKind, Tree
from apmatrix.hosts.view import AdapterView, GuestView, Holding, LparView, MatrixView, QueueView

__all__ = [
    "AdapterView",
    "Explanation",
    "GuestView",
    "Holding",
    "HostFacts",
    "LocalTree",
    "LparView",
    "MatrixView",
    "Query",
    "QueryKind",
    "QueueView",
    "RecordingTree",
    "Refusal",
    "Shell",
    "Snapshot",
    "Step",
    "Tree",
    "read_facts",
]
