"""The public Python API: what ``import apmatrix`` offers (docs/python.md). Uses emulation and service."""

from apmatrix.api.configuration import AdapterConfig, GuestConfig, HostConfig, LparConfig, MasterKeyConfig
from apmatrix.api.cpu import LevelCpu
from apmatrix.api.crypto import Crypto
from apmatrix.api.errors import CannotRun, NotRunning, NotVirtual, UnknownName
from apmatrix.api.faults import ActiveFault
from apmatrix.api.linux import GuestLinux, Linux, LparLinux
from apmatrix.api.machine import Machine
from apmatrix.api.sysfs import SysfsFiles
from apmatrix.arch import (
    ApmatrixError,
    Apqn,
    ConditionCode,
    Configuration,
    Instruction,
    Mask,
    Matrix,
    Opcode,
    ProgramCheck,
    QueueInfo,
    QueueStatus,
    Registers,
    ResponseCode,
)
from apmatrix.cards import Delivery
from apmatrix.cards.faults import FaultError
from apmatrix.config import ConfigError, Finding, Severity
from apmatrix.emulation.rsa import RsaKey
from apmatrix.hosts import Explanation, Holding, MatrixView, Refusal, Step
from apmatrix.linux.core import LogEntry, Uevent
from apmatrix.linux.zcrypt import CcaReply
from apmatrix.machine import AdapterRefused, FlatMemory, Memory, ProfileError, UnknownAdapter
from apmatrix.rules.findings import Holder
from apmatrix.rules.refusals import Refused

__all__ = [
    "ActiveFault",
    "AdapterConfig",
    "AdapterRefused",
    "ApmatrixError",
    "Apqn",
    "CannotRun",
    "CcaReply",
    "ConditionCode",
    "ConfigError",
    "Configuration",
    "Crypto",
    "Delivery",
    "Explanation",
    "FaultError",
    "Finding",
    "FlatMemory",
    "GuestConfig",
    "GuestLinux",
    "Holder",
    "Holding",
    "HostConfig",
    "Instruction",
    "LevelCpu",
    "Linux",
    "LogEntry",
    "LparConfig",
    "LparLinux",
    "Machine",
    "Mask",
    "MasterKeyConfig",
    "Matrix",
    "MatrixView",
    "Memory",
    "NotRunning",
    "NotVirtual",
    "Opcode",
    "ProfileError",
    "ProgramCheck",
    "QueueInfo",
    "QueueStatus",
    "Refusal",
    "Refused",
    "Registers",
    "ResponseCode",
    "RsaKey",
    "Severity",
    "Step",
    "SysfsFiles",
    "Uevent",
    "UnknownAdapter",
    "UnknownName",
]
