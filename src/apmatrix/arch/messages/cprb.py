"""The control blocks of coprocessor messages: CPRBX for CCA (hardware.md 3.6), CPRB for EP11 (3.10)."""

from __future__ import annotations

from typing import Final

from apmatrix.arch.layout import Layout, bits, constant, flag, octets, text

CPRBX_VERSION: Final = 2
EP11_CPRB_VERSION: Final = 4

CCA_USAGE: Final = b"T2"
"""Function id of CPRBXs that use keys."""

CCA_MASTER_KEYS: Final = b"T5"
"""Function id of apmatrix's own command for master keys (docs/administrative-commands.md)."""

CCA_ADMINISTRATIVE: Final = frozenset((b"T3", CCA_MASTER_KEYS, b"T6", b"T7"))
"""Function ids of CPRBXs that change a domain (hardware.md 5.1)."""

EP11_FUNCTION_ID: Final = b"T4"


class Cprbx(Layout, size=220):
    """The control block of CCA. Its pointer fields mean nothing to a card and are not declared."""

    length = constant(octets(0, 2), 220)
    version = constant(octets(2, 1), CPRBX_VERSION)
    function_id = text(6, 2)
    flags = octets(8, 4)
    request_parameters = octets(12, 4)
    request_data = octets(16, 4)
    reply_room = octets(20, 4)
    replied_parameters = octets(24, 4)
    reply_data_room = octets(28, 4)
    replied_data = octets(32, 4)
    return_code = octets(144, 2)
    reason_code = octets(146, 2)
    domain = octets(170, 2)
    reserved = octets(172, 12)


class Ep11Cprb(Layout, size=32):
    """The control block of EP11."""

    length = constant(octets(0, 2), 32)
    version = constant(octets(2, 1), EP11_CPRB_VERSION)
    administrative = flag(5 * 8)  # the request changes a domain
    special = flag(5 * 8 + 2)  # the request needs NQAP's S bit
    function_id = text(6, 2)
    source = octets(8, 4)
    target = octets(12, 4)
    return_code = octets(16, 4)
    payload_length = octets(28, 4)


class Ep11Function(Layout, width=32):
    """The first string of an EP11 payload: a function and the API version that it belongs to."""

    api = bits(0, 15)
    number = bits(16, 31)
