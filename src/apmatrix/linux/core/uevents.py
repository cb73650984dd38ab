"""Uevents: what the kernel tells user space about its devices."""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from apmatrix.linux.errors import BadValue, quoted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

ACTIONS = ("add", "remove", "change", "move", "online", "offline", "bind", "unbind")

_WORD = "[0-9A-Za-z\xc0-\xd6\xd8-\xf6\xf8-\xff]+"
_UUID = "[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
_REQUEST = re.compile(rf"(?P<action>{'|'.join(ACTIONS)})(?: (?P<uuid>{_UUID})(?P<arguments>(?: {_WORD}={_WORD})*))?")


def requested(written: bytes) -> tuple[str, tuple[tuple[str, str], ...]]:
    """The action and the variables of the event that a write to a ``uevent`` file asks for; raises BadValue.

    The action alone, or with a UUID and any number of ``KEY=VALUE`` of letters and digits; one newline or NUL may end
    it (the kernel's ABI document of ``/sys/.../uevent``).
    """
    text = written.decode("latin-1")
    found = _REQUEST.fullmatch(text[:-1] if text[-1:] in ("\n", "\0") else text)
    if not found:
        raise BadValue(f"{quoted(text)} asks for no uevent", remedy="write add, change or remove")
    pairs = (argument.partition("=") for argument in (found["arguments"] or "").split(" ")[1:])
    arguments = ((f"SYNTH_ARG_{key}", content) for key, _, content in pairs)
    return found["action"], (("SYNTH_UUID", found["uuid"] or "0"), *arguments)


@dataclass(frozen=True, slots=True)
class Uevent:
    """One event. ``devpath`` begins with ``/devices`` or ``/bus``…; ``env`` holds what the device adds."""

    seqnum: int
    action: str
    devpath: str
    subsystem: str
    env: Mapping[str, str]

    def lines(self) -> list[str]:
        """``KEY=value`` for every variable, in the kernel's order."""
        fixed = [f"ACTION={self.action}", f"DEVPATH={self.devpath}", f"SUBSYSTEM={self.subsystem}"]
        return [*fixed, *(f"{key}={value}" for key, value in self.env.items()), f"SEQNUM={self.seqnum}"]


class UeventStream:
    """Numbers the events, keeps the newest, and hands each one to the subscribers in order."""

    def __init__(self, size: int = 4096) -> None:
        self._seqnum = 0
        self._history: deque[Uevent] = deque(maxlen=size)
        self._subscribers: list[Callable[[Uevent], None]] = []

    def emit(self, action: str, devpath: str, subsystem: str, env: Iterable[tuple[str, str]] = ()) -> None:
        """Send an event; one about an unbinding shall not load the module again, so it names no alias."""
        self._seqnum += 1
        variables = dict(env)
        if action == "unbind":
            variables.pop("MODALIAS", None)
        event = Uevent(self._seqnum, action, devpath, subsystem, variables)
        self._history.append(event)
        for subscriber in tuple(self._subscribers):
            subscriber(event)

    def subscribe(self, subscriber: Callable[[Uevent], None]) -> Callable[[], None]:
        """Call ``subscriber`` with every event from now on, under the system's lock; returns the way to stop."""
        self._subscribers.append(subscriber)
        return lambda: self._subscribers.remove(subscriber)

    @property
    def history(self) -> tuple[Uevent, ...]:
        """The newest events, oldest first."""
        return tuple(self._history)
