"""The messages that Linux puts on the queues: control blocks and headers around what a request brings.

Types 50 and 06 as hardware.md 3.1, 3.4, 3.6 and 3.10 describe them. The layouts are shared with the cards, the code
that fills them in is not.
"""

from __future__ import annotations

from typing import Final

from apmatrix.arch.messages import AcceleratorRequest, Cprbx, Ep11Cprb, RequestHeader
from apmatrix.arch.messages.cprb import CCA_USAGE, EP11_FUNCTION_ID
from apmatrix.arch.messages.headers import CCA_AGENT, EP11_AGENT

_UNANSWERED: Final = 0xFFFF_FFFF
"""Return code in an EP11 request."""

_EP11_REQUEST: Final = 1


def padding(length: int) -> int:
    """The number of bytes that pad ``length`` to a multiple of four."""
    return -length % 4


def accelerator_message(form: int, operands: bytes) -> bytes:
    """The type 50 message with operands in a format of hardware.md 3.1."""
    return bytes(AcceleratorRequest(length=AcceleratorRequest.SIZE + len(operands), format=form)) + operands


def cca_control(parameters: bytes, domain: int, *, reply_room: int, data_room: int = 0) -> bytes:
    """The CPRBX of a request that Linux makes itself, with its parameter block; rooms are bytes for the reply."""
    control = Cprbx(
        function_id=CCA_USAGE,
        request_parameters=len(parameters),
        reply_room=reply_room,
        reply_data_room=data_room,
        domain=domain,
    )
    return bytes(control) + parameters


def cca_message(
    control: bytes,
    verb: bytes,
    *,
    reply_room: int,
    data_room: int = 0,
    data: bytes = b"",
    agent: bytes = CCA_AGENT,
    aligned: bool = False,
) -> bytes:
    """The type 06 message that takes a CPRBX with its parameters, and ``data``, to a card.

    An ``aligned`` control block is padded to a multiple of four, as Linux does for CPRBs of programs only (3.4).
    """
    padded = control + bytes(padding(len(control))) if aligned else control
    header = RequestHeader(
        offset1=RequestHeader.SIZE,
        offset2=RequestHeader.SIZE + len(padded) if data else 0,
        agent=agent,
        function_code=verb,
        to_card1=len(control),
        to_card2=len(data),
        from_card1=reply_room,
        from_card2=data_room,
    )
    return bytes(header) + padded + data


def ep11_control(payload: bytes, domain: int) -> bytes:
    """The CPRB of a request that Linux makes itself, with its payload."""
    header = Ep11Cprb(
        function_id=EP11_FUNCTION_ID,
        target=domain,
        return_code=_UNANSWERED,
        payload_length=len(payload),
    )
    return bytes(header) + payload


def ep11_message(control: bytes, *, reply_room: int) -> bytes:
    """The type 06 message that takes a CPRB with its payload to a card, padded to a multiple of four."""
    header = RequestHeader(
        offset1=RequestHeader.SIZE,
        agent=EP11_AGENT,
        request_id=_EP11_REQUEST,
        to_card1=len(control),
        from_card1=reply_room,
    )
    return bytes(header) + control + bytes(padding(len(control)))
