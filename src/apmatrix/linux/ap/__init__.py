"""The AP bus, its cards and queues, and the host's own drivers."""

from apmatrix.linux.ap.ap_queue import ApQueue
from apmatrix.linux.ap.bus import ApBus
from apmatrix.linux.ap.card import ApCard
from apmatrix.linux.ap.message import ApMessage

__all__ = ["ApBus", "ApCard", "ApMessage", "ApQueue"]
