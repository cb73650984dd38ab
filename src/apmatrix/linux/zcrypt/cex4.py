"""The host's own drivers of cards and queues: cex4card and cex4queue (DEV-2, DEV-3, DEV-11, DEV-12)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from apmatrix.arch import Mode
from apmatrix.linux.ap.ap_queue import ApQueue
from apmatrix.linux.ap.card import ApCard
from apmatrix.linux.ap.driver import ApBusDriver
from apmatrix.linux.core import AttributeGroup, Device, Written
from apmatrix.linux.zcrypt import cca_info, ep11_info
from apmatrix.rules.refusals import BadValue, NoDevice
from apmatrix.rules.text import scanned_number

if TYPE_CHECKING:
    from apmatrix.arch.messages.ep11info import Ep11DomainInfo
    from apmatrix.linux.core.attributes import AnyGroup
    from apmatrix.linux.zcrypt.zcrypt import Zcrypt

OLDEST_GENERATION_TYPE = 6  # CEX4 is hardware type 10


def _zcrypt(device: ApCard | ApQueue) -> Zcrypt:
    """The zcrypt that queries the device's card: its driver's, as these attributes come and go with the driver."""
    driver = device.driver
    assert isinstance(driver, Cex4Driver)
    return driver.zcrypt


def _switch(value: Written) -> bool:
    wanted = scanned_number(value.text)
    if wanted not in (0, 1):
        raise BadValue(f"{wanted} is neither 0 nor 1")
    return bool(wanted)


CARD_DRIVER: AttributeGroup[ApCard] = AttributeGroup()


@CARD_DRIVER.show("type")
def card_type(card: ApCard) -> str:
    """The card's type, such as ``CEX8C``."""
    return f"CEX{card.hardware_type - OLDEST_GENERATION_TYPE}{card.mode.value if card.mode else ''}\n"


@CARD_DRIVER.show("online")
def card_online(card: ApCard) -> str:
    """1 if configured, not checkstopped and set online."""
    return f"{card.config and not card.chkstop and card.online:d}\n"


@CARD_DRIVER.store("online")
def set_card_online(card: ApCard, value: Written) -> None:
    """Set the card and all its bound queues online or offline (DEV-3)."""
    wanted = _switch(value)
    if wanted and (not card.config or card.chkstop):
        raise NoDevice(f"{card.name} is deconfigured or checkstopped", remedy="configure it first")
    card.online = wanted
    card.uevent("change", (("ONLINE", f"{wanted:d}"),))
    for queue in card.host_queues():
        if queue.online != wanted:
            queue.set_online(wanted)


@CARD_DRIVER.show("load")
def card_load(card: ApCard) -> str:
    """The relative cost of what the card is doing."""
    return f"{card.load}\n"


def _mode(device: ApCard | ApQueue) -> Mode | None:
    return device.mode if isinstance(device, ApCard) else device.card.mode


def _is_cca(device: ApCard | ApQueue) -> bool:
    return _mode(device) is Mode.CCA


def _is_ep11(device: ApCard | ApQueue) -> bool:
    return _mode(device) is Mode.EP11


def _is_coprocessor(device: ApCard | ApQueue) -> bool:
    return _mode(device) in (Mode.CCA, Mode.EP11)


@CARD_DRIVER.show("serialnr", when=_is_coprocessor)
def serial_number(card: ApCard) -> str:
    """The card's serial number, queried from the card; empty if it does not answer."""
    if _is_cca(card):
        return f"{cca_info.serial_number(_zcrypt(card), card)}\n"
    info = ep11_info.card_info(_zcrypt(card), card)
    return f"{info.serial.decode('latin-1') if info else ''}\n"


@CARD_DRIVER.show("API_ordinalnr", when=_is_ep11)
def api_ordinal_number(card: ApCard) -> str:
    """The EP11 API version."""
    info = ep11_info.card_info(_zcrypt(card), card)
    return f"{info.api_ordinal if info else ''}\n"


@CARD_DRIVER.show("FW_version", when=_is_ep11)
def firmware_version(card: ApCard) -> str:
    """The EP11 firmware version."""
    info = ep11_info.card_info(_zcrypt(card), card)
    return f"{info.firmware_major}.{info.firmware_minor}\n" if info else "\n"


@CARD_DRIVER.show("op_modes", when=_is_ep11)
def card_operation_modes(card: ApCard) -> str:
    """The EP11 operation modes."""
    info = ep11_info.card_info(_zcrypt(card), card)
    return f"{ep11_info.mode_names(info.operation_modes) if info else ''}\n"


QUEUE_DRIVER: AttributeGroup[ApQueue] = AttributeGroup()


@QUEUE_DRIVER.show("online")
def queue_online(queue: ApQueue) -> str:
    """1 if configured, not checkstopped and set online."""
    return f"{queue.config and not queue.chkstop and queue.online:d}\n"


@QUEUE_DRIVER.store("online")
def store_queue_online(queue: ApQueue, value: Written) -> None:
    """Set the queue online (1) or offline (0); online only if the card and the queue can be used (DEV-12)."""
    wanted = _switch(value)
    card = queue.card
    if wanted and (not queue.config or queue.chkstop or not card.config or card.chkstop):
        raise NoDevice(f"{queue.name} is deconfigured or checkstopped", remedy="configure the card first")
    if wanted and not card.online:
        raise BadValue(f"{card.name} is offline", remedy="set the card online first")
    queue.set_online(wanted)


@QUEUE_DRIVER.show("load")
def queue_load(queue: ApQueue) -> str:
    """The relative cost of what the queue is doing."""
    return f"{queue.load}\n"


def _ep11_domain(queue: ApQueue) -> Ep11DomainInfo | None:
    """What the card reports about the queue's domain; an offline queue is not asked (DEV-11)."""
    return ep11_info.domain_info(_zcrypt(queue), queue) if queue.online else None


@QUEUE_DRIVER.show("mkvps", when=_is_coprocessor)
def master_key_patterns(queue: ApQueue) -> str:
    """The verification patterns of the domain's master keys, queried from the card."""
    if _is_cca(queue):
        return cca_info.master_key_patterns(_zcrypt(queue), queue)
    return ep11_info.wrapping_key_patterns(_ep11_domain(queue))


@QUEUE_DRIVER.show("op_modes", when=_is_ep11)
def queue_operation_modes(queue: ApQueue) -> str:
    """The EP11 operation modes of the domain."""
    info = _ep11_domain(queue)
    return f"{ep11_info.mode_names(info.operation_modes) if info else ''}\n"


class Cex4Driver(ApBusDriver):
    """Base of both drivers; ``zcrypt`` queries the cards for what their attributes show."""

    __slots__ = ("zcrypt",)

    MODULE = "zcrypt_cex4"

    def __init__(self, zcrypt: Zcrypt, name: str) -> None:
        super().__init__(zcrypt.bus, name)
        self.zcrypt = zcrypt


class Cex4CardDriver(Cex4Driver):
    """Takes every card that has a mode."""

    __slots__ = ()

    DEVICE_GROUPS: ClassVar[tuple[AnyGroup, ...]] = (CARD_DRIVER,)

    def __init__(self, zcrypt: Zcrypt) -> None:
        super().__init__(zcrypt, "cex4card")

    def matches(self, device: Device) -> bool:
        """True for a card, whatever its type."""
        return isinstance(device, ApCard)

    def probe(self, device: ApCard) -> None:
        """Set the card online; NoDevice if it has no mode."""
        _check_mode(device)
        device.online = True


class Cex4QueueDriver(Cex4Driver):
    """Takes the queues that the masks leave to the host."""

    __slots__ = ()

    DEVICE_GROUPS: ClassVar[tuple[AnyGroup, ...]] = (QUEUE_DRIVER,)

    def __init__(self, zcrypt: Zcrypt) -> None:
        super().__init__(zcrypt, "cex4queue")

    def matches(self, device: Device) -> bool:
        """True for a queue, whatever its card."""
        return isinstance(device, ApQueue)

    def probe(self, device: ApQueue) -> None:
        """Set the queue online and reset it; NoDevice if its card has no mode."""
        _check_mode(device)
        device.online = True
        device.card.used[device.apqn.domain] = device
        device.start()
        device.receives = True
        device.step()
        if _is_cca(device):
            self.zcrypt.count_random_source(1)

    def remove(self, device: ApQueue) -> None:
        """Let the queue go."""
        del device.card.used[device.apqn.domain]
        if _is_cca(device):
            self.zcrypt.count_random_source(-1)


def _check_mode(device: ApCard | ApQueue) -> None:
    if _mode(device) is None:
        raise NoDevice(f"{device.name} is neither accelerator nor CCA nor EP11 coprocessor")
