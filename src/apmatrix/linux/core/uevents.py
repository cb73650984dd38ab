"""Uevents: what the kernel tells user space about its devices."""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from apmatrix.rules.refusals import BadValue

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from apmatrix.linux.core.log import KernelLog

ACTIONS = ("add", "remove", "change", "move", "online", "offline", "bind", "unbind")

_WORD = "[0-9A-Za-z\xc0-\xd6\xd8-\xf6\xf8-\xff]+"
_UUID = "[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
_REQUEST = re.compile(rf"(?P<action>{'|'.join(ACTIONS)})(?P<rest> .*)?", re.DOTALL)
_ARGUMENTS = re.compile(rf" (?P<uuid>{_UUID})(?P<pairs>(?: {_WORD}={_WORD})*)")


def requested(written: bytes) -> tuple[str, tuple[tuple[str, str], ...]]:
    """The action and the variables of the event that a write to a ``uevent`` file asks for; raises BadValue.

    The action alone, or with a UUID and any number of ``KEY=VALUE`` of letters and digits; one newline or NUL may end
    it (the kernel's ABI document of ``/sys/.../uevent``). The error's text is the kernel's.
    """
    text = written.decode("latin-1")
    found = _REQUEST.fullmatch(text[:-1] if text[-1:] in ("\n", "\0") else text)
    if not found:
        raise BadValue("unknown uevent action string")
    if found["rest"] is None:
        return found["action"], (("SYNTH_UUID", "0"),)
    arguments = _ARGUMENTS.fullmatch(found["rest"])
    if not arguments:
        raise BadValue("incorrect uevent action arguments")
    pairs = (pair.partition("=") for pair in arguments["pairs"].split(" ")[1:])
    return found["action"], (("SYNTH_UUID", arguments["uuid"]), *((f"SYNTH_ARG_{key}", to) for key, _, to in pairs))


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

    def __init__(self, log: KernelLog, size: int = 4096) -> None:
        self._log = log
        self._seqnum = 0
        self._history: deque[Uevent] = deque(maxlen=size)
        self._subscribers: list[Callable[[Uevent], None]] = []

    def emit(self, action: str, devpath: str, subsystem: str, env: Iterable[tuple[str, str]] = ()) -> None:
        """Send an event; an ``unbind`` event must not load the module again, so it carries no alias."""
        self._seqnum += 1
        variables = dict(env)
        if action == "unbind":
            variables.pop("MODALIAS", None)
        event = Uevent(self._seqnum, action, devpath, subsystem, variables)
        self._history.append(event)
        for subscriber in tuple(self._subscribers):
            subscriber(event)

    def request(
        self,
        written: bytes,
        devpath: str,
        subsystem: str,
        env: Iterable[tuple[str, str]] = (),
        *,
        device: str | None = None,
    ) -> None:
        """Send the event that a write to a ``uevent`` file asks for; raises BadValue.

        ``device`` identifies a device in the kernel log: its driver or bus, and its name.
        """
        action, variables = self.check(written, devpath, device)
        self.emit(action, devpath, subsystem, (*variables, *env))

    def check(
        self, written: bytes, devpath: str, device: str | None = None
    ) -> tuple[str, tuple[tuple[str, str], ...]]:
        """The action and the variables that a write to a ``uevent`` file asks for; raises and logs BadValue."""
        try:
            return requested(written)
        except BadValue as refused:
            self._log.warning(f"synth uevent: {devpath}: {refused}")
            if device:
                self._log.error(f"{device}: uevent: failed to send synthetic uevent: -{refused.errno}")
            raise

    def subscribe(self, subscriber: Callable[[Uevent], None]) -> Callable[[], None]:
        """Call ``subscriber`` with every new event, under the system's lock; returns a function that unsubscribes."""
        self._subscribers.append(subscriber)
        return lambda: self._subscribers.remove(subscriber)

    @property
    def history(self) -> tuple[Uevent, ...]:
        """The newest events, oldest first."""
        return tuple(self._history)
