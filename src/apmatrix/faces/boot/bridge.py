"""Controls a machine in QEMU from its first instruction on, and executes the AP instructions of its kernel.

The processors that QEMU emulates have no AP instructions: its kernel gets an operation exception for each. Through
QEMU's debugger stub the bridge

1. waits until the kernel has taken over from its loader: a watchpoint on the program-check new PSW sees it
   designate the kernel's own handler (:meth:`Bridge.attach`);
2. finds the handler of operation exceptions and sets a breakpoint there, where all AP instructions arrive;
3. at the first of them, puts a :class:`~apmatrix.faces.boot.handler.Mailbox` into the guest and removes the
   breakpoint. Where that is not possible, the breakpoint stays, and every AP instruction stops the machine.

A breakpoint where the loader starts shows when the guest restarts.
"""

from __future__ import annotations

import select
import threading
import time
from enum import Enum
from typing import TYPE_CHECKING

from apmatrix.arch import Interruption
from apmatrix.faces.boot.errors import KernelError, QemuError
from apmatrix.faces.boot.frame import Psw
from apmatrix.faces.boot.handler import RESERVED, Mailbox
from apmatrix.faces.boot.kernel import Handlers
from apmatrix.faces.boot.service import Done
from apmatrix.faces.boot.storage import AddressSpace, Storage
from apmatrix.faces.gdb import Break, GdbClient, Stop

if TYPE_CHECKING:
    from apmatrix.faces.boot.service import Server

LOADER_START = 0x10000
"""Where QEMU starts a kernel that it was given as a file, at each restart too."""

NEW_PSW = 0x1D0
"""The program-check new PSW in absolute storage."""

KERNEL_START = 0x100000
"""Below lie the loader and its handlers."""

PRIMARY_SPACE, USER_SPACE, HOME_SPACE = 1, 7, 13
"""Control registers that designate address spaces. Kernels keep the user's in 7 while they run themselves."""

SHORT_WAIT, LONG_WAIT = 0.00002, 0.001
IDLE_SECONDS = 0.05
"""Pauses between two looks at the mailbox: short ones until so long after an answer. There is always one: the guest
waits in a busy loop, and a second loop would take the processors away from it and from the cards' arithmetic."""

STOP_SECONDS = 10.0
"""Within which QEMU must report a stop that is certain."""

POLL_SECONDS = 0.2
"""How often a bridge that waits for a breakpoint checks whether it has to stop."""

_HOME_MODE = 3  # address-space control in the PSW


class End(Enum):
    """How a run of the guest ended."""

    RESTARTED = "restarted"
    ENDED = "ended"
    ASKED = "asked to end"


class Way(Enum):
    """How AP instructions are intercepted."""

    MAILBOX = "mailbox"
    BREAKPOINT = "breakpoint"


def _kernel_space(psw: Psw) -> int:
    """The control register of the address space that the kernel runs in: primary before version 7, home since."""
    return HOME_SPACE if psw.address_space == _HOME_MODE else PRIMARY_SPACE


class Bridge:
    """One guest in QEMU whose AP instructions ``service`` executes.

    One thread calls :meth:`attach` and :meth:`run`; any thread may call :meth:`stop`. ``way`` is what is wanted, then
    what is in use.
    """

    loading, starting = "the loader unpacks the kernel", "the kernel starts"

    def __init__(
        self, client: GdbClient, storage: Storage, service: Server, *, processors: int = 1, way: Way = Way.MAILBOX
    ) -> None:
        self.way = way
        self.reason = ""
        self._wanted = way
        self._client = client
        self._storage = storage
        self._service = service
        self._processors = processors
        self._handlers: Handlers | None = None
        self._mailbox: Mailbox | None = None
        self._space = PRIMARY_SPACE
        self._stopping = threading.Event()

    def stop(self) -> None:
        """Let :meth:`run` return soon."""
        self._stopping.set()

    # from the first instruction to the kernel

    def attach(self, timeout: float) -> None:
        """Run the guest from its loader until its kernel runs, and intercept that kernel's AP instructions.

        The guest is stopped then. Raises KernelError if no kernel comes within ``timeout`` seconds or it is not one
        that can be intercepted, QemuError if QEMU ends.
        """
        client = self._client
        self._storage.store_word(NEW_PSW + 8, 0)  # a kernel before a restart left its own
        client.insert(Break.WRITE, NEW_PSW + 8, 8)
        deadline = time.monotonic() + timeout
        while self._storage.word(NEW_PSW + 8) < KERNEL_START:
            client.resume()
            if (stop := client.wait(max(0.0, deadline - time.monotonic()))) is None:
                raise KernelError(f"no Linux kernel took over within {timeout:g} s: is this file one for s390x?")
            if stop.ended:
                raise QemuError("QEMU ended before the kernel started: is this file a kernel for s390x?")
        client.remove(Break.WRITE, NEW_PSW + 8, 8)
        self._handlers = Handlers.find(self._storage, *self._place())
        client.insert(Break.SOFTWARE, self._operation)
        client.insert(Break.SOFTWARE, LOADER_START)

    def _place(self) -> tuple[int, int]:
        """Where the stopped processor executes: absolute and logical address."""
        psw = self._psw()
        if not psw.dat:
            return psw.address, psw.address
        space = AddressSpace(self._storage, self._client.read_register(f"cr{_kernel_space(psw)}"))
        return space.translate(psw.address), psw.address

    def _psw(self) -> Psw:
        return Psw(self._client.read_register("pswm") << 64 | self._client.read_register("pswa"))

    @property
    def _found(self) -> Handlers:
        """The kernel's handlers; KernelError before there is a kernel."""
        if self._handlers is None:
            raise KernelError("the kernel has not started yet: attach first")
        return self._handlers

    @property
    def _operation(self) -> int:
        """Where operation exceptions arrive."""
        return self._found.of(Interruption.OPERATION)

    # the kernel's run

    def run(self) -> End:
        """Let the guest run and execute its AP instructions until it restarts, ends, or :meth:`stop` is called.

        After a restart the guest is stopped in its loader again. Raises GdbError if QEMU is gone.
        """
        self._client.resume()
        while not self._stopping.is_set():
            if (stop := self._next_stop()) is None:
                continue
            if stop.ended:
                return End.ENDED
            self._client.select(stop.thread)
            address = self._client.read_register("pswa")
            if address == LOADER_START:
                self._forget()
                return End.RESTARTED
            if address == self._operation:
                self._at_handler(stop)
            self._client.resume()
        return End.ASKED

    def _next_stop(self) -> Stop | None:
        return self._client.wait(POLL_SECONDS) if self._mailbox is None else self._serve_mailbox(self._mailbox)

    def _at_handler(self, stop: Stop) -> None:
        """Handle an operation exception at which the machine stopped."""
        client = self._client
        self._space = _kernel_space(self._psw())
        frame, kernel, user = (client.read_register(name) for name in ("r2", f"cr{self._space}", "cr7"))
        if self._wanted is Way.MAILBOX and self._to_mailbox(frame, kernel):
            return
        outcome = self._service.serve(frame, kernel, user)
        if isinstance(outcome, Done):
            client.write_register("pswa", client.read_register("r14"))
        elif outcome.code is not Interruption.OPERATION:
            client.write_register("pswa", self._found.of(outcome.code))
        else:
            client.step(stop.thread)
            client.wait(STOP_SECONDS)

    def _to_mailbox(self, frame: int, kernel_asce: int) -> bool:
        """Install the mailbox and let the stopped processor enter it; False where that is not possible."""
        space = AddressSpace(self._storage, kernel_asce)
        try:
            self._mailbox = Mailbox.install(space, frame, self._processors)
        except KernelError as error:
            self._wanted = self.way = Way.BREAKPOINT
            self.reason = str(error)
            return False
        self._client.remove(Break.SOFTWARE, self._operation)
        self._found.replace(self._storage, Interruption.OPERATION, self._mailbox.entry)
        self._client.write_register("pswa", self._mailbox.entry)
        return True

    def _serve_mailbox(self, mailbox: Mailbox) -> Stop | None:
        """Answer until the machine stops; None when the bridge is asked to stop."""
        last = time.monotonic()
        while not self._stopping.is_set():
            for pending in mailbox.pending():
                control = pending.control
                outcome = self._service.serve(pending.frame, control[self._space - 1], control[USER_SPACE - 1])
                mailbox.answer(pending, 0 if isinstance(outcome, Done) else self._found.of(outcome.code))
                last = time.monotonic()
            wait = SHORT_WAIT if time.monotonic() - last < IDLE_SECONDS else LONG_WAIT
            if select.select((self._client,), (), (), wait)[0]:
                return self._client.wait(STOP_SECONDS)
        return None

    def _forget(self) -> None:
        """Forget what was found in the storage of a guest that restarts: it is no longer there."""
        for address in (LOADER_START, *(() if self._mailbox else (self._operation,))):
            self._client.remove(Break.SOFTWARE, address)
        self._storage.write(self._storage.size - RESERVED, bytes(RESERVED))
        self._handlers = self._mailbox = None
