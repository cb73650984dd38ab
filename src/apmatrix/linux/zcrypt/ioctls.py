"""The ioctls of ``/dev/z90crypt`` and of extra nodes (hardware.md 5.2), as Linux 7.2 has them.

Errors are Refused with the errno that the program gets. A face serves a node through
:class:`~apmatrix.linux.zcrypt.nodes.ZcryptFile`.
"""

from __future__ import annotations

import errno
import struct
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Final

from apmatrix.linux.zcrypt import status
from apmatrix.linux.zcrypt.byteorder import ByteOrder
from apmatrix.linux.zcrypt.cprb import CcaRequest, Ep11Request, StatusError, no_room
from apmatrix.linux.zcrypt.rsa import ModExpo, ModExpoCrt
from apmatrix.linux.zcrypt.structures import (
    OUTPUT_LENGTH_OFFSET,
    Ep11Urb,
    IoctlNumber,
    RsaModExpo,
    RsaModExpoCrt,
    Xcrb,
)
from apmatrix.rules.refusals import BadValue, Failed

if TYPE_CHECKING:
    from collections.abc import Callable

    from apmatrix.linux.ap import ApBus
    from apmatrix.linux.core import Task
    from apmatrix.linux.zcrypt.memory import UserSpace
    from apmatrix.linux.zcrypt.perms import Permissions
    from apmatrix.linux.zcrypt.zcrypt import Zcrypt

MAGIC: Final = ord("z")
_READ, _READ_WRITE = 2, 3
_PADDING: Final = 8
_WORD: Final = 4
_TARGET: Final = 4


@dataclass(frozen=True, slots=True)
class IoctlCall:
    """An ioctl: what the node allows, the calling program's storage, and the address that is its argument."""

    zcrypt: Zcrypt
    permissions: Permissions
    user: UserSpace
    argument: int
    task: Task | None = None


def rsa_mod_expo(call: IoctlCall) -> None:
    """Do ICARSAMODEXPO: a modular exponentiation."""
    block = call.user.fetch(RsaModExpo, call.argument)
    fetch, length = call.user.bytes_at, block.input_length

    def load() -> ModExpo:
        return ModExpo(
            modulus=fetch(block.modulus, length),
            exponent=fetch(block.exponent, length),
            data=fetch(block.input, length),
        )

    _rsa(call, block, load, crt=False)


def rsa_crt(call: IoctlCall) -> None:
    """Do ICARSACRT: an exponentiation with a private key in Chinese-remainder form."""
    block = call.user.fetch(RsaModExpoCrt, call.argument)
    fetch = call.user.bytes_at
    short = (block.input_length + 1) // 2
    long = short + _PADDING

    def load() -> ModExpoCrt:
        return ModExpoCrt(
            p=fetch(block.p, long),
            q=fetch(block.q, short),
            dp=fetch(block.dp, long),
            dq=fetch(block.dq, short),
            u=fetch(block.u, long),
            data=fetch(block.input, block.input_length),
        )

    _rsa(call, block, load, crt=True)


def _rsa(
    call: IoctlCall, block: RsaModExpo | RsaModExpoCrt, load: Callable[[], ModExpo | ModExpoCrt], *, crt: bool
) -> None:
    """Do an RSA ioctl; the operands are fetched only once a queue has been chosen."""
    length = block.input_length
    if block.output_length < length:
        raise BadValue(f"there is no room for a result of {length} bytes")
    result = call.zcrypt.rsa_when_chosen(length, load, call.permissions, crt=crt, task=call.task)
    call.user.store(block.output, result)
    call.user.store_number(call.argument + OUTPUT_LENGTH_OFFSET, length)


class _CprbCall:
    """ZSECSENDCPRB: whatever happens, the structure is written back to the program as it is at the end."""

    def __init__(self, call: IoctlCall) -> None:
        self.call = call
        self.block = call.user.fetch(Xcrb, call.argument).replace(status=0)

    def run(self) -> None:
        """Send the CPRB, and write the structure back."""
        try:
            self._deliver(self._request())
        except StatusError as error:
            self.block = self.block.replace(status=error.status)
            raise
        finally:
            self.call.user.store_block(self.call.argument, self.block)

    def _request(self) -> CcaRequest:
        block, fetch = self.block, self.call.user.bytes_at
        lengths = (block.request_length, block.request_data_length, block.reply_length, block.reply_data_length)
        CcaRequest.check_lengths(*lengths, self.call.zcrypt.buffer_size)
        request = CcaRequest(
            control=fetch(block.request, block.request_length),
            card=block.card,
            control_room=block.reply_length,
            data_room=block.reply_data_length,
            agent=block.agent.to_bytes(2, "big"),
        )
        request.check_verb()
        return replace(request, data=fetch(block.request_data, block.request_data_length))

    def _deliver(self, request: CcaRequest) -> None:
        """Store the control block first: its part of the structure is right even if the data do not fit."""
        call = self.call
        reply = call.zcrypt.send_cprb(request, call.permissions, task=call.task)
        if len(reply.control) > request.control_room:
            raise no_room(len(reply.control))
        call.user.store(self.block.reply, reply.control)
        self.block = self.block.replace(reply_length=len(reply.control))
        if len(reply.data) > request.data_room:
            raise no_room(len(reply.data))
        call.user.store(self.block.reply_data, reply.data)
        self.block = self.block.replace(reply_data_length=len(reply.data))


def send_cprb(call: IoctlCall) -> None:
    """Do ZSECSENDCPRB: send a CPRB to a CCA coprocessor."""
    _CprbCall(call).run()


def send_ep11_cprb(call: IoctlCall) -> None:
    """Do ZSENDEP11CPRB: send a CPRB to an EP11 coprocessor; here too the structure is always written back."""
    block = call.user.fetch(Ep11Urb, call.argument)
    try:
        listed = call.user.bytes_at(block.targets, block.targets_count * _TARGET)
        Ep11Request.check_lengths(block.request_length, block.reply_length, call.zcrypt.buffer_size)
        cprb = call.user.bytes_at(block.request, block.request_length)
        request = Ep11Request(cprb, _targets(call, listed), block.reply_length)
        reply = call.zcrypt.ep11(request, call.permissions, task=call.task)
        call.user.store(block.reply, reply)
        block = block.replace(reply_length=len(reply))
    finally:
        call.user.store_block(call.argument, block)


def _targets(call: IoctlCall, listed: bytes) -> tuple[tuple[int, int], ...]:
    """The list of (card, domain), each target once: a list may have 65,535 entries."""
    return tuple(dict.fromkeys(struct.iter_unpack("<HH" if call.user.order is ByteOrder.LITTLE else ">HH", listed)))


def _answering(make: Callable[[ApBus, ByteOrder], bytes]) -> Callable[[IoctlCall], None]:
    """A handler that stores the bytes that ``make`` returns for the bus."""

    def answer(call: IoctlCall) -> None:
        bus = call.zcrypt.bus
        with bus.kernel:
            data = make(bus, call.user.order)
        call.user.store(call.argument, data)

    return answer


def total_opens(call: IoctlCall) -> None:
    """Do Z90STAT_TOTALOPEN_COUNT: count the open files of all nodes."""
    call.user.store_number(call.argument, call.zcrypt.opens)


def _read_write(number: int) -> IoctlNumber:
    return IoctlNumber(direction=_READ_WRITE, magic=MAGIC, number=number)


def _read(number: int, size: int) -> IoctlNumber:
    return IoctlNumber(direction=_READ, size=size, magic=MAGIC, number=number)


HANDLERS: Final[dict[IoctlNumber, Callable[[IoctlCall], None]]] = {
    _read_write(0x05): rsa_mod_expo,
    _read_write(0x06): rsa_crt,
    _read_write(0x81): send_cprb,
    _read_write(0x04): send_ep11_cprb,
    _read_write(0x5F): _answering(status.device_status),
    _read(0x58, status.CARDS): _answering(status.status_mask),
    _read(0x59, status.CARDS): _answering(status.depth_mask),
    _read(0x5A, status.CARDS * _WORD): _answering(status.request_counts),
    _read(0x44, _WORD): _answering(status.waiting_count),
    _read(0x45, _WORD): _answering(status.pending_count),
    _read(0x46, _WORD): total_opens,
    _read(0x47, _WORD): _answering(status.default_domain),
    # The older forms, for 64 adapters.
    _read_write(0x4F): _answering(partial(status.device_status, old=True)),
    _read(0x48, status.OLD_CARDS): _answering(partial(status.status_mask, cards=status.OLD_CARDS)),
    _read(0x49, status.OLD_CARDS): _answering(partial(status.depth_mask, cards=status.OLD_CARDS)),
    _read(0x4A, status.OLD_CARDS * _WORD): _answering(partial(status.request_counts, cards=status.OLD_CARDS)),
}


def handle(number: int, call: IoctlCall) -> None:
    """Do an ioctl. Refused: EPERM if the node does not allow it, ENOTTY for one that zcrypt does not know."""
    ioctl = IoctlNumber(number & 0xFFFF_FFFF)
    if ioctl.number == 0 or ioctl.number not in call.permissions.ioctls:
        raise Failed(
            f"this node does not allow ioctl {ioctl.number:#04x}",
            remedy="add its bit to the node's ioctlmask",
            number=errno.EPERM,
        )
    handler = HANDLERS.get(ioctl)
    if handler is None:
        raise Failed(f"zcrypt has no ioctl {number:#010x}", number=errno.ENOTTY)
    handler(call)
