"""What programs pass to the ioctls of zcrypt, as 64-bit programs lay it out.

Addresses are the program's own. Gaps are declared too, so that none of the program's bytes is lost when the kernel
writes a structure back.
"""

from __future__ import annotations

from apmatrix.arch import Layout, bits, flag, octets


class IoctlNumber(Layout, width=32):
    """How ioctl numbers are encoded, the same on s390x and x86-64."""

    direction = bits(0, 1)
    size = bits(2, 15)
    magic = bits(16, 23)
    number = bits(24, 31)


class RsaModExpo(Layout, size=48):
    """``struct ica_rsa_modexpo``: exponent, modulus and result have the length of the input."""

    input = octets(0, 8)
    input_length = octets(8, 4)
    gap1 = octets(12, 4)
    output = octets(16, 8)
    output_length = octets(24, 4)
    gap2 = octets(28, 4)
    exponent = octets(32, 8)
    modulus = octets(40, 8)


class RsaModExpoCrt(Layout, size=72):
    """``struct ica_rsa_modexpo_crt``: dq and q have half the length of the input, dp, p and u 8 bytes more."""

    input = octets(0, 8)
    input_length = octets(8, 4)
    gap1 = octets(12, 4)
    output = octets(16, 8)
    output_length = octets(24, 4)
    gap2 = octets(28, 4)
    dp = octets(32, 8)
    dq = octets(40, 8)
    p = octets(48, 8)
    q = octets(56, 8)
    u = octets(64, 8)


OUTPUT_LENGTH_OFFSET = 24
"""The offset of the result's length in both RSA structures."""


class Xcrb(Layout, size=94):
    """``struct ica_xcRB``, packed (hardware.md 3.9)."""

    agent = octets(0, 2)
    card = octets(2, 4)
    request_id = octets(6, 2)
    request_length = octets(8, 4)
    gap1 = octets(12, 8)
    request = octets(20, 8)
    request_data_length = octets(28, 4)
    gap2 = octets(32, 8)
    request_data = octets(40, 8)
    reply_length = octets(48, 4)
    gap3 = octets(52, 8)
    reply = octets(60, 8)
    reply_data_length = octets(68, 4)
    gap4 = octets(72, 8)
    reply_data = octets(80, 8)
    priority = octets(88, 2)
    status = octets(90, 4)


class Ep11Urb(Layout, size=58):
    """``struct ep11_urb``, packed (hardware.md 3.10)."""

    targets_count = octets(0, 2)
    targets = octets(2, 8)
    weight = octets(10, 8)
    request_number = octets(18, 8)
    request_length = octets(26, 8)
    request = octets(34, 8)
    reply_length = octets(42, 8)
    reply = octets(50, 8)


class DeviceStatus(Layout, width=32):
    """``struct zcrypt_device_status_ext``: type, queue, state and functions, as bit-fields."""

    hardware_type = bits(0, 7)
    queue = bits(8, 23)
    online = flag(24)
    functions = bits(25, 30)


class OldDeviceStatus(Layout, width=32):
    """``struct zcrypt_device_status``, for the first 64 adapters."""

    hardware_type = bits(0, 7)
    queue = bits(8, 21)
    online = flag(22)
    functions = bits(23, 28)
