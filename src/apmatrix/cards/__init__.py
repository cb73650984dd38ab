"""What is behind a queue: the queue engine, the cards and their firmware. Builds on arch."""

from apmatrix.cards.adapter import Adapter, AdapterState
from apmatrix.cards.administration import Action, KeyCommand
from apmatrix.cards.clock import Clock, ManualClock, RealClock, Timer
from apmatrix.cards.context import CardContext
from apmatrix.cards.cpacf import WrappingKey
from apmatrix.cards.engine import Delivery, Failure, Indication, Queue
from apmatrix.cards.errors import CardError
from apmatrix.cards.faults import Fault, Switchboard
from apmatrix.cards.filters import Answer, Filter, Handling, Loss, QueueFunction, ScriptedAnswers
from apmatrix.cards.firmware import Firmware, Request
from apmatrix.cards.recording import Recorder, Replay
from apmatrix.cards.timing import TimingModel
from apmatrix.cards.vault import MemoryStore, Store, Vault
from apmatrix.cards.virtualclock import VirtualClock
from apmatrix.cards.workers import Inline, WorkerPool, Workers

__all__ = [
    "Action",
    "Adapter",
    "AdapterState",
    "Answer",
    "CardContext",
    "CardError",
    "Clock",
    "Delivery",
    "Failure",
    "Fault",
    "Filter",
    "Firmware",
    "Handling",
    "Indication",
    "Inline",
    "KeyCommand",
    "Loss",
    "ManualClock",
    "MemoryStore",
    "Queue",
    "QueueFunction",
    "RealClock",
    "Recorder",
    "Replay",
    "Request",
    "ScriptedAnswers",
    "Store",
    "Switchboard",
    "Timer",
    "TimingModel",
    "Vault",
    "VirtualClock",
    "WorkerPool",
    "Workers",
    "WrappingKey",
]
