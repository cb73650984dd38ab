"""The headers of the message types (hardware.md 3.1 to 3.5).

A request to an accelerator is of type 50, one to a coprocessor of type 06. Replies are of type 80 or 86, or of type
82, 87 or 88 if the card refuses the message as a whole. Offsets count bytes, numbers are big-endian.
"""

from __future__ import annotations

from typing import Final

from apmatrix.arch.layout import Layout, constant, flag, octets, text
from apmatrix.arch.messages.codes import MessageType

CCA_AGENT: Final = b"CA"
EP11_AGENT: Final = b"XC"
"""Agent ids: the kind of coprocessor that a message is for."""


class AcceleratorRequest(Layout, size=16):
    """Type 50; the operands follow. ``length`` counts the whole message."""

    message_type = constant(octets(1, 1), MessageType.ACCELERATOR_REQUEST)
    length = octets(2, 2)
    format = octets(8, 2)
    crt = flag(8 * 8 + 11)  # of the format: operands in CRT form


class AcceleratorReply(Layout, size=16):
    """Type 80; the result follows. ``length`` counts the whole message."""

    message_type = constant(octets(1, 1), MessageType.ACCELERATOR_REPLY)
    length = octets(2, 2)


class ErrorReply(Layout, size=8):
    """Types 82, 87 and 88."""

    message_type = octets(1, 1)
    reply_code = octets(4, 1)


class RequestHeader(Layout, size=88):
    """Type 06: where control block and data are (1 and 2), and how much room the reply's have."""

    message_type = constant(octets(1, 1), MessageType.COPROCESSOR_REQUEST)
    final_status = octets(12, 4)
    offset1 = octets(16, 4)
    offset2 = octets(20, 4)
    agent = text(32, 16)
    request_id = octets(48, 2)
    function_code = text(52, 2)
    to_card1 = octets(56, 4)
    to_card2 = octets(60, 4)
    from_card1 = octets(72, 4)
    from_card2 = octets(76, 4)


class ReplyHeader(Layout, size=48):
    """Type 86: where control block and data are (1 and 2)."""

    message_type = constant(octets(1, 1), MessageType.COPROCESSOR_REPLY)
    format = constant(octets(2, 1), 2)
    reply_code = octets(4, 1)
    final_status = octets(12, 4)
    count1 = octets(16, 4)
    offset1 = octets(20, 4)
    count2 = octets(24, 4)
    offset2 = octets(28, 4)
