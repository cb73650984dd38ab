"""apmatrix: AP (Adjunct Processor) virtualization for IBM Z, as software.

    import apmatrix

    with apmatrix.Machine.from_file("examples/three-guests.toml") as machine:
        print(machine.guest("guest2").explain("05.0004").reason.text)

Everything in ``__all__`` is public and documented in docs/python.md; what is below it may change without notice. The
names are loaded when they are used: parts of the package, such as ``apmatrix.rules``, come without the emulator.
"""

import typing as _typing
from importlib import import_module as _import_module

__version__ = "0.1.0"

if _typing.TYPE_CHECKING:
    from apmatrix.api import (
        ActiveFault,
        AdapterConfig,
        AdapterRefused,
        ApmatrixError,
        Apqn,
        CannotRun,
        CcaReply,
        ConditionCode,
        ConfigError,
        Configuration,
        Crypto,
        Delivery,
        Explanation,
        FaultError,
        Finding,
        FlatMemory,
        GuestConfig,
        GuestLinux,
        Holder,
        Holding,
        HostConfig,
        Instruction,
        LevelCpu,
        Linux,
        LogEntry,
        LparConfig,
        LparLinux,
        Machine,
        Mask,
        MasterKeyConfig,
        Matrix,
        MatrixView,
        Memory,
        NotRunning,
        NotVirtual,
        Opcode,
        ProfileError,
        ProgramCheck,
        QueueInfo,
        QueueStatus,
        Refusal,
        Refused,
        Registers,
        ResponseCode,
        RsaKey,
        Severity,
        Step,
        SysfsFiles,
        Uevent,
        UnknownAdapter,
        UnknownName,
    )

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
    "__version__",
]

if not _typing.TYPE_CHECKING:  # a type checker takes the names from above, and no others

    def __getattr__(name: str) -> object:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(_import_module("apmatrix.api"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
