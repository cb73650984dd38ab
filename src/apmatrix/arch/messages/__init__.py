"""The messages between Linux and the cards: headers, control blocks, tokens and code points (hardware.md section 3).

Wire formats only. Each side builds and reads its messages with its own code, on these layouts.
"""

from apmatrix.arch.messages.codes import MessageType, ReplyCode
from apmatrix.arch.messages.cprb import Cprbx, Ep11Cprb, Ep11Function
from apmatrix.arch.messages.headers import (
    AcceleratorReply,
    AcceleratorRequest,
    ErrorReply,
    ReplyHeader,
    RequestHeader,
)

__all__ = [
    "AcceleratorReply",
    "AcceleratorRequest",
    "Cprbx",
    "Ep11Cprb",
    "Ep11Function",
    "ErrorReply",
    "MessageType",
    "ReplyCode",
    "ReplyHeader",
    "RequestHeader",
]
