"""A guest: QEMU with a real kernel, and the bridge that executes its AP instructions."""

from __future__ import annotations

import re
import threading
import time
from typing import TYPE_CHECKING

from apmatrix.arch import ApmatrixError
from apmatrix.faces.boot.bridge import Bridge, End, Way
from apmatrix.faces.boot.console import Console, Mark
from apmatrix.faces.boot.errors import GuestError, QemuError
from apmatrix.faces.boot.qemu import Qemu
from apmatrix.faces.boot.standalone import StandAloneBridge
from apmatrix.faces.gdb import Disconnected

if TYPE_CHECKING:
    from collections.abc import Callable

    from apmatrix.faces.boot.qemu import Hardware
    from apmatrix.faces.boot.service import GuestLevel

ATTACH_TIMEOUT = 60.0
BOOT_TIMEOUT = 300.0
_LOOK = 0.2
_END_TIMEOUT = 5.0
_CRASH = re.compile(r"Guest crashed on cpu \d+: (\S+) PSW: 0x(\w{16}) 0x(\w{16})")


def _ignore(_: object) -> None:
    pass


class BootedGuest:
    """A real Linux at a level. Use as a context manager: at the end QEMU is gone and the queues are reset.

    ``level`` is reset when the guest restarts and when it or QEMU ends, whatever the reason. ``progress`` gets a few
    words at each step, ``text`` what the guest writes on its console before it is asked for something.
    """

    def __init__(
        self,
        hardware: Hardware,
        level: GuestLevel,
        *,
        way: Way = Way.MAILBOX,
        progress: Callable[[str], None] = _ignore,
        text: Callable[[bytes], object] = _ignore,
    ) -> None:
        self._level = level
        self._progress = progress
        self._text = text
        self._failure: ApmatrixError | None = None
        self.restarts = 0
        self.qemu = Qemu(hardware)
        try:
            self.service = level.attach(self.qemu.storage)
        except BaseException:
            self.qemu.close()
            raise
        self.console = Console(self.qemu.console)
        self.bridge = self._bridge(hardware, way)
        self._thread = threading.Thread(target=self._steer, name="apmatrix-bridge", daemon=True)

    def _bridge(self, hardware: Hardware, way: Way) -> Bridge | StandAloneBridge:
        parts = self.qemu.stub, self.qemu.storage, self.service
        if hardware.stand_alone is not None:
            return StandAloneBridge(*parts, hardware.stand_alone, hardware.facilities)
        return Bridge(*parts, processors=hardware.processors, way=way)

    def __enter__(self) -> BootedGuest:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bridge.stop()
        self.qemu.kill()
        self._thread.join()
        self.qemu.close()

    def _steer(self) -> None:
        """The bridge's thread: from the loader to the kernel to the end, and again if the guest restarts."""
        try:
            while True:
                self._progress(self.bridge.loading)
                self.bridge.attach(ATTACH_TIMEOUT)
                self._progress(self.bridge.starting)
                if self.bridge.run() is not End.RESTARTED:
                    return
                self.restarts += 1
                self._level.reset()
        except Disconnected:
            code = self.qemu.await_end(_END_TIMEOUT)
            if code is not None and code < 0:
                self._failure = QemuError(f"QEMU was killed (signal {-code}): the guest's queues are reset")
        except ApmatrixError as error:
            self._failure = error
        finally:
            self.qemu.kill()
            self._give_back()

    def _give_back(self) -> None:
        try:
            self._level.reset()
        except ApmatrixError as error:
            self._failure = self._failure or error

    def wait_until_ready(self, timeout: float = BOOT_TIMEOUT) -> str:
        """Wait until the guest's init has set it up; returns the kernel's release.

        Raises GuestError if the guest ends first, takes longer than ``timeout`` seconds, or has executed no AP
        instruction by then: it would be a guest without cards.
        """
        release = self._wait_for("ready", timeout, self._text)
        self._prove_attachment(f"Linux {release} is up")
        return release

    def _prove_attachment(self, what: str) -> None:
        if not self.service.executed:
            self._pass_on_complaint()
            raise GuestError(
                f"{what} but executed no AP instruction that reached the machine: it has no AP support, or its"
                " operation exceptions cannot be intercepted; use a Debian kernel (--kernel)"
            )

    def run_command(self, output: Callable[[bytes], object], timeout: float | None = None) -> int:
        """Pass on the output of the guest's command, and return its exit code."""
        self._wait_for("begin", BOOT_TIMEOUT, _ignore)
        return int(self._wait_for("end", timeout, output))

    def converse(self, source: int, sink: int) -> None:
        """Join the console to a terminal, given by file descriptors, until the guest ends.

        Raises GuestError if the guest executed no AP instruction at all.
        """
        for _ in self.console.converse(source, sink):
            pass
        self._check()
        self._prove_attachment("the guest has ended")

    def listen(self, output: Callable[[bytes], object]) -> None:
        """Pass on what a stand-alone program writes on its console until it ends.

        Raises GuestError if it ends in a disabled wait or a loop of interruptions, as programs do that cannot go on.
        """
        while not self.console.ended:
            for event in self.console.events(_LOOK):
                if isinstance(event, bytes):
                    output(event)
        self._check()
        if crash := _CRASH.search(self.qemu.complaint()):
            raise GuestError(f"the program crashed: {crash[1].replace('-', ' ')}, PSW {crash[2]} {crash[3]}")
        if (self.qemu.exit_code or 0) > 0:
            self._pass_on_complaint()

    def wait_until_ended(self, timeout: float) -> None:
        """Wait until the guest has powered itself off; GuestError if it does not within ``timeout`` seconds."""
        deadline = time.monotonic() + timeout
        while not self.console.ended:
            if time.monotonic() > deadline:
                raise GuestError(f"the guest did not power off within {timeout:g} s")
            for _ in self.console.events(_LOOK):
                pass
        self._check()

    def _wait_for(self, name: str, timeout: float | None, output: Callable[[bytes], object]) -> str:
        deadline = None if timeout is None else time.monotonic() + timeout
        while not self.console.ended:
            if deadline is not None and time.monotonic() > deadline:
                raise GuestError(f"no {name!r} from the guest within {timeout:g} s; it said: {self._last_words()}")
            for event in self.console.events(_LOOK):
                if isinstance(event, bytes):
                    output(event)
                elif event.name == name:
                    return event.value
                else:
                    self._note(event)
        self._check()
        self._pass_on_complaint()
        raise GuestError(f"the guest ended before it said {name!r}; it said: {self._last_words()}")

    def _pass_on_complaint(self) -> None:
        if complaint := self.qemu.complaint():
            raise QemuError(f"QEMU says: {complaint}")

    def _note(self, mark: Mark) -> None:
        if mark.name == "module":
            self._progress(f"the module {mark.value} could not be loaded")

    def _check(self) -> None:
        """Raise what the bridge's thread ended with."""
        self._thread.join(_END_TIMEOUT * 2)
        if self._failure is not None:
            raise self._failure

    def _last_words(self) -> str:
        return self.console.last_words() or "nothing"
