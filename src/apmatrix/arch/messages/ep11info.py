"""What an EP11 card reports about itself and its domains: function 38 (hardware.md 4.5)."""

from __future__ import annotations

from apmatrix.arch.layout import Layout, flag, octets, text


class OperationModes(Layout, width=64):
    """The operational modes; a field's name is the mode's, in lower case and with an underscore for the hyphen."""

    fips2009 = flag(63)
    bsi2009 = flag(62)
    fips2011 = flag(61)
    bsi2011 = flag(60)
    sigg_import = flag(59)
    sigg = flag(58)
    bsicc2017 = flag(57)
    fips2021 = flag(56)
    fips2024 = flag(55)


class Ep11CardInfo(Layout, size=196):
    """The answer about a card."""

    api_ordinal = octets(0, 4)
    firmware_id = octets(4, 4)
    firmware_major = octets(8, 1)
    firmware_minor = octets(9, 1)
    serial = text(108, 16)
    date_time = text(124, 16)
    operation_modes = octets(140, 8, OperationModes)
    domains = octets(156, 4)


class Ep11DomainInfo(Layout, size=80):
    """The answer about a domain: its wrapping key registers. The documents count the flags' bits from the right."""

    domain = octets(0, 4)
    current_pattern = text(4, 32)
    new_pattern = text(36, 32)
    not_imprinting = flag(68 * 8 + 27)
    new_committed = flag(68 * 8 + 28)
    new_present = flag(68 * 8 + 29)
    current_valid = flag(68 * 8 + 30)
    operation_modes = octets(72, 8, OperationModes)
