"""A machine described in Python: the same tables as in a file, with the same keys (docs/file.md)."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from uuid import UUID

from apmatrix.api.values import Numbers, Policy, State
from apmatrix.arch import SetName
from apmatrix.arch.arguments import checked

Words = str | Iterable[str]
"""One text, or several."""

_IN_FILE = {"guests": "guest"}
"""Fields that have another name in a file."""


@checked
@dataclass(frozen=True, slots=True)
class AdapterConfig:
    """A card, or several alike: ``AdapterConfig(5, "CEX8C")``, ``AdapterConfig("6-9", "CEX8A")``.

    ``ids`` are the adapter numbers, ``type`` is CEX4 to CEX8 with A (accelerator), C (CCA) or P (EP11). ``functions``
    are TAPQ's facility bits, by default those of the type. ``faults`` are written as docs/faults.md says.
    """

    ids: Numbers
    type: str
    _: dataclasses.KW_ONLY
    state: State = "online"
    depth: int = 8
    functions: int | None = None
    faults: Words = ()


@checked
@dataclass(frozen=True, slots=True)
class MasterKeyConfig:
    """A master key for domains of coprocessors: ``MasterKeyConfig("AES", adapters=5, domains=4, key="random")``.

    ``set`` is AES, APKA or ASYM (CCA) or WK (EP11). ``parts`` are files with the parts of a key that is not random:
    two or more, or one for WK.
    """

    set: SetName
    _: dataclasses.KW_ONLY
    adapters: Numbers
    domains: Numbers
    key: Literal["random"] | None = None
    parts: Iterable[str | os.PathLike[str]] = ()


@checked
@dataclass(frozen=True, slots=True, kw_only=True)
class HostConfig:
    """The Linux of an LPAR or a guest. ``apmask`` and ``aqmask`` are written to the AP bus, one after the other.

    ``policy`` is ``"linux"`` or ``"protective"``.
    """

    apmask: Words = ()
    aqmask: Words = ()
    vfio_ap: bool = True
    policy: Policy = "linux"


@checked
@dataclass(frozen=True, slots=True)
class GuestConfig:
    """A KVM guest and its mdev: ``GuestConfig("guest1", adapters=5, domains="4,0xab")``.

    ``uuid`` is the mdev's name, by default derived from the guest's names; ``start=False`` leaves the guest
    stopped. ``host`` is the Linux in it, ``guests`` are its own guests.
    """

    name: str
    _: dataclasses.KW_ONLY
    uuid: UUID | str | None = None
    adapters: Numbers = ()
    domains: Numbers = ()
    control_domains: Numbers = ()
    start: bool = True
    host: HostConfig = field(default_factory=HostConfig)
    guests: Iterable[GuestConfig] = ()


@checked
@dataclass(frozen=True, slots=True)
class LparConfig:
    """An LPAR with its activation profile: ``LparConfig("kvm1", adapters="5,6", usage_domains=[4, 0xab])``.

    ``control_domains`` are by default the usage domains. ``host`` is the Linux in it, ``guests`` are its guests.
    """

    name: str
    _: dataclasses.KW_ONLY
    adapters: Numbers = ()
    usage_domains: Numbers = ()
    control_domains: Numbers | None = None
    host: HostConfig = field(default_factory=HostConfig)
    guests: Iterable[GuestConfig] = ()


Table = AdapterConfig | MasterKeyConfig | LparConfig | GuestConfig | HostConfig


def as_table(config: Table) -> dict[str, Any]:
    """The equivalent table of a file."""
    values = ((item.name, getattr(config, item.name)) for item in dataclasses.fields(config))
    return plain({_IN_FILE.get(name, name): value for name, value in values})


def plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values as ``tomllib`` would give them; those that are None are left out."""
    return {name: _plain(value) for name, value in values.items() if value is not None}


def _plain(value: Any) -> Any:
    if isinstance(value, Table):
        return as_table(value)
    if isinstance(value, Iterable) and not isinstance(value, str):
        return [_plain(each) for each in value]
    return value if isinstance(value, str | int | float) else str(value)
