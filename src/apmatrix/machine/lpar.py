"""LPARs and their activation profiles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from apmatrix.arch import EMPTY_MATRIX, Matrix
from apmatrix.arch.matrix import queues_named
from apmatrix.machine.errors import ProfileError
from apmatrix.machine.level import Level
from apmatrix.rules.profiles import Beyond, objections

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True)
class ActivationProfile:
    """What an LPAR is given: adapters, usage domains, control domains.

    ``matrix.adm`` holds the control domains. On the HMC every usage domain is a control domain too; here
    it is one only if the profile names it.
    """

    name: str
    matrix: Matrix = EMPTY_MATRIX


class Lpar:
    """A logical partition: a level-1 configuration with an activation profile. Created by ``Cpc.add_lpar``."""

    def __init__(self, profile: ActivationProfile, facilities: Iterable[int]) -> None:
        self.name = profile.name
        self.level = Level(profile.name, facilities=facilities)
        self.profile = profile
        self.level.set_matrix(profile.matrix)


def check_profile(profile: ActivationProfile, others: Iterable[Lpar], highest: Matrix) -> None:
    """Refuse a profile that claims queues of another LPAR or numbers that the machine does not have.

    ``highest`` has every adapter and domain number of the machine. Adapters that are not plugged are
    allowed: a profile may be written before the card is installed. Raises ProfileError.
    """
    found = objections(profile.matrix, highest, ((other.name, other.profile.matrix) for other in others))
    for objection in found:
        if isinstance(objection, Beyond):
            raise ProfileError(
                f"the activation profile of LPAR {profile.name} names {objection.matrix.describe()}, but this "
                f"machine has adapters {highest.apm.ranges()} and domains {highest.aqm.ranges()}: remove them"
            )
        raise ProfileError(
            f"LPAR {profile.name} cannot be activated: {queues_named(objection.apqns)} in use by LPAR "
            f"{objection.holder}; give one of them another adapter or another usage domain",
            objection.holder,
            objection.shared,
        )
