"""The machine: adapters, LPARs, levels, and the AP instructions at each level."""

from apmatrix.machine.cpc import DEFAULT_FACILITIES, DEFAULT_FEATURES, Cpc
from apmatrix.machine.errors import (
    AdapterRefused,
    Intercepted,
    LparActive,
    ProfileError,
    UnknownAdapter,
    UnknownFeature,
    UnknownLpar,
    ValidityInterception,
)
from apmatrix.machine.instructions import execute
from apmatrix.machine.level import Hypervisor, Level, check_entry, shadow
from apmatrix.machine.lpar import ActivationProfile, Lpar
from apmatrix.machine.memory import FlatMemory, Memory
from apmatrix.machine.notification import Notification
from apmatrix.machine.port import Port

__all__ = [
    "DEFAULT_FACILITIES",
    "DEFAULT_FEATURES",
    "ActivationProfile",
    "AdapterRefused",
    "Cpc",
    "FlatMemory",
    "Hypervisor",
    "Intercepted",
    "Level",
    "Lpar",
    "LparActive",
    "Memory",
    "Notification",
    "Port",
    "ProfileError",
    "UnknownAdapter",
    "UnknownFeature",
    "UnknownLpar",
    "ValidityInterception",
    "check_entry",
    "execute",
    "shadow",
]
