"""The machine: adapters, LPARs, levels, and the AP instructions at each level."""

from apmatrix.machine.cpc import DEFAULT_FACILITIES, DEFAULT_FEATURES, Cpc
from apmatrix.machine.errors import Intercepted, ProfileError, ValidityInterception
from apmatrix.machine.level import Hypervisor, Level, check_entry, shadow
from apmatrix.machine.lpar import ActivationProfile, Lpar
from apmatrix.machine.memory import FlatMemory, Memory
from apmatrix.machine.notification import Notification
from apmatrix.machine.port import Port

__all__ = [
    "DEFAULT_FACILITIES",
    "DEFAULT_FEATURES",
    "ActivationProfile",
    "Cpc",
    "FlatMemory",
    "Hypervisor",
    "Intercepted",
    "Level",
    "Lpar",
    "Memory",
    "Notification",
    "Port",
    "ProfileError",
    "ValidityInterception",
    "check_entry",
    "shadow",
]
