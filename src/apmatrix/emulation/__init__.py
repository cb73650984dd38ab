"""Brings up what a configuration file describes, and looks at it. Stands on config, linux, machine."""

from apmatrix.emulation.administrator import Administrator, Refusal
from apmatrix.emulation.bringup import Emulation, Guest, System
from apmatrix.emulation.explain import Explanation, Step, explain
from apmatrix.emulation.look import look
from apmatrix.emulation.view import AdapterView, GuestView, Holding, LparView, MatrixView, QueueView

__all__ = [
    "AdapterView",
    "Administrator",
    "Emulation",
    "Explanation",
    "Guest",
    "GuestView",
    "Holding",
    "LparView",
    "MatrixView",
    "QueueView",
    "Refusal",
    "Step",
    "System",
    "explain",
    "look",
]
