"""The emulated Linux as the subject of trials: requests in the background, and time that moves step by step."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

from apmatrix.cards import ManualClock
from apmatrix.linux import LinuxSystem
from apmatrix.linux.core.sysfs import Kind
from apmatrix.linux.zcrypt import CcaRequest, Ep11Request
from apmatrix.linux.zcrypt.cprb import StatusError
from apmatrix.linux.zcrypt.rsa import ModExpo
from apmatrix.rules.refusals import Refused
from support.differential.trial import Subject
from support.sysops import errno_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from apmatrix.linux.core import Uevent

MODULUS: Final = 128
ASKS_CARD: Final = ("serialnr", "mkvps", "op_modes", "API_ordinalnr", "FW_version", "uevent")
STEP, STEPS = 0.02, 15
PATIENCE: Final = 20.0


class SteppedClock(ManualClock):
    """A manual clock that knows whether all that were started have ended or wait for something that is not there."""

    def __init__(self) -> None:
        super().__init__()
        self._changed = threading.Condition()
        self._waits: dict[int, Callable[[], bool]] = {}
        self._started: set[int] = set()

    def start(self, action: Callable[[], None]) -> None:
        """Run ``action`` in the background."""

        def run() -> None:
            try:
                action()
            finally:
                with self._changed:
                    self._started.discard(threading.get_ident())
                    self._changed.notify_all()

        thread = threading.Thread(target=run, daemon=True)
        with self._changed:
            thread.start()
            self._started.add(thread.ident or 0)

    def rest(self) -> None:
        """Return when what was started has ended or waits."""
        with self._changed:
            assert self._changed.wait_for(self._at_rest, PATIENCE), "a request is still at work"

    def _at_rest(self) -> bool:
        return all(thread in self._waits and not self._waits[thread]() for thread in self._started)

    def wait_for(
        self, condition: threading.Condition, predicate: Callable[[], bool], timeout: float | None = None
    ) -> bool:
        me = threading.get_ident()
        with self._changed:
            self._waits[me] = predicate
            self._changed.notify_all()
        try:
            return super().wait_for(condition, predicate, timeout)
        finally:
            with self._changed:
                del self._waits[me]


class EmulatedSubject(Subject):
    """The emulated Linux on a clock of its own."""

    def __init__(self) -> None:
        self.clock = SteppedClock()
        super().__init__(self.clock)
        self.system = LinuxSystem(self.machine, self.level, name=self.level.name, vfio_ap=False)
        self.clock.advance(STEP * STEPS)
        self._ended: list[str] = []
        self._events: list[Uevent] = []
        self.system.uevents.subscribe(self._events.append)
        self._senders: dict[str, Callable[..., str]] = {
            "M": self._rsa,
            "C": self._cca,
            "E": self._ep11,
            "H": self._random,
        }

    def close(self) -> None:
        """End the system and what still waits in it."""
        self.system.shut_down()
        self.machine.close()

    def settle(self) -> None:
        """Let a little time pass."""
        self.clock.rest()
        for _ in range(STEPS):
            self.clock.advance(STEP)
            self.clock.rest()

    def ask(self, line: str) -> list[str]:
        """Do it in this process."""
        operation, words = line[:1], line[2:].split(" ")
        if operation == "S":
            return sorted(self._snapshot())
        if operation == "N":
            return list(self._news())
        if operation == "J":
            ended, self._ended = self._ended, []
            return ended
        if operation == "Q":
            self.clock.start(lambda: self._finish(f"{words[0]} {self._request(*words[1:])}"))
            return []
        if operation == "W":
            answer = self._write(*words)
            self.clock.rest()
            return [answer]
        raise ValueError(line)

    def _finish(self, result: str) -> None:
        self._ended.append(result)

    def _snapshot(self) -> Iterator[str]:
        sysfs = self.system.sysfs
        for path, shown in [
            ("bus/ap", "ap"),
            *((f"bus/ap/devices/{name}", name) for name in sysfs.list("bus/ap/devices")),
        ]:
            for name in sysfs.list(path):
                stat = sysfs.stat(f"{path}/{name}")
                if stat.kind is Kind.FILE and stat.mode & 0o444 and name not in ASKS_CARD:
                    yield f"{shown}/{name} {self._read(f'{path}/{name}')}"
                elif stat.kind is Kind.LINK and name == "driver":
                    yield f"{shown}/driver {sysfs.readlink(f'{path}/{name}').rpartition('/')[2]}"

    def _news(self) -> Iterator[str]:
        events, self._events[:] = self._events[:], []
        for event in events:
            yield " ".join(["~", *(part for part in event.lines() if not part.startswith("SEQNUM="))])

    def _read(self, path: str) -> str:
        try:
            content = self.system.sysfs.read(path).decode("latin-1")
        except OSError as error:
            return errno_name(error)
        return '"' + content.replace("\n", "\\n") + '"'

    def _write(self, path: str, data: str) -> str:
        try:
            self.system.sysfs.write(path, f"{data}\n".encode())
        except OSError as error:
            return errno_name(error)
        return "ok"

    def _request(self, kind: str, *words: str) -> str:
        if kind == "R":
            return self._read(words[0])
        try:
            return self._senders[kind](*words)
        except StatusError as refused:
            return f"{errno_name(refused.as_oserror())} status {refused.status:08x}"
        except Refused as refused:
            status = " status 00000000" if kind == "C" else ""
            return f"{errno_name(refused.as_oserror())}{status}"

    def _rsa(self) -> str:
        two, three, eight = (number.to_bytes(MODULUS, "big") for number in (2, 3, 8))
        request = ModExpo(two, three, b"\xff" * MODULUS)
        return "ok" if self.system.zcrypt.rsa(request) == eight else "wrong"

    def _cca(self, card: str, control: str) -> str:
        request = CcaRequest(bytes.fromhex(control), card=int(card, 16), data_room=4096)
        cprbx = self.system.zcrypt.cprb(request).cprbx
        return f"ok rt/rs {cprbx.return_code}/{cprbx.reason_code}"

    def _ep11(self, card: str, domain: str, cprb: str) -> str:
        target = (int(card, 16), int(domain, 16))
        self.system.zcrypt.ep11(Ep11Request(bytes.fromhex(cprb), (target,)))
        return "ok"

    def _random(self) -> str:
        self.system.hwrng.read(4)
        return "ok"
