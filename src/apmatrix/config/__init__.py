"""The configuration file: schema, loading, findings with their place. Builds on rules."""

from apmatrix.config.findings import ConfigError, NotInFile, counted
from apmatrix.config.load import load, parse, read_adapter, read_tables
from apmatrix.config.schema import (
    AdapterFile,
    GuestFile,
    HostSettings,
    LparFile,
    MachineFile,
    MachineSettings,
    MasterKeyFile,
)
from apmatrix.rules.findings import Finding, Severity

__all__ = [
    "AdapterFile",
    "ConfigError",
    "Finding",
    "GuestFile",
    "HostSettings",
    "LparFile",
    "MachineFile",
    "MachineSettings",
    "MasterKeyFile",
    "NotInFile",
    "Severity",
    "counted",
    "load",
    "parse",
    "read_adapter",
    "read_tables",
]
