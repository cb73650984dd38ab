"""What a zcrypt device node allows (hardware.md 5.2)."""

from __future__ import annotations

from dataclasses import dataclass

from apmatrix.arch import ALL_BITS, NO_BITS, Mask


@dataclass(slots=True)
class Permissions:
    """Masks over ioctl numbers, adapters, usage domains and administered domains.

    The default node allows what the bus masks say and does not ask about administered domains.
    """

    ioctls: Mask = NO_BITS
    adapters: Mask = NO_BITS
    domains: Mask = NO_BITS
    administered: Mask = NO_BITS
    default: bool = False

    @classmethod
    def of_the_bus(cls, adapters: Mask, domains: Mask) -> Permissions:
        """The permissions of the kernel itself and of ``/dev/z90crypt``; the masks are the bus's."""
        return cls(ALL_BITS, adapters, domains, ALL_BITS, default=True)
