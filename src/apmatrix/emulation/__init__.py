"""Brings up the machine of a configuration file, and views it. Builds on config, hosts, linux, machine."""

from apmatrix.emulation.bringup import Emulation, Guest, System
from apmatrix.emulation.errors import UnknownGuest
from apmatrix.emulation.explain import explain, explain_all
from apmatrix.emulation.names import Subject, find_subject
from apmatrix.emulation.tree import SysfsTree
from apmatrix.emulation.views import look

__all__ = [
    "Emulation",
    "Guest",
    "Subject",
    "SysfsTree",
    "System",
    "UnknownGuest",
    "explain",
    "explain_all",
    "find_subject",
    "look",
]
