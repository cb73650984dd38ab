"""The configuration file: schema, loading, errors with the place. Stands on arch."""

from apmatrix.config.findings import ConfigError, Finding, Severity, listed
from apmatrix.config.load import load, parse
from apmatrix.config.schema import (
    AdapterFile,
    GuestFile,
    HostSettings,
    LparFile,
    MachineFile,
    MachineSettings,
)

__all__ = [
    "AdapterFile",
    "ConfigError",
    "Finding",
    "GuestFile",
    "HostSettings",
    "LparFile",
    "MachineFile",
    "MachineSettings",
    "Severity",
    "listed",
    "load",
    "parse",
]
