"""The hosts of host.md section 8, with short words for what the vectors do to them."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from apmatrix.arch import Apqn, CardType, Facility, Mask, Matrix, ResponseCode
from apmatrix.cards import Answer, Filter, Inline, ManualClock, QueueFunction, ScriptedAnswers
from apmatrix.linux import EventFd, LinuxSystem
from apmatrix.machine import ActivationProfile, Cpc
from support.sysops import errno_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from apmatrix.cards import AdapterState, Queue
    from apmatrix.linux import Vm
    from apmatrix.linux.core import Uevent

U1 = "62177883-f1bb-47f0-914d-32a22e3a8804"
U2 = "f2c3a4d5-1b2c-4d3e-8f90-0a1b2c3d4e5f"
U3 = "0e8d1f60-93a7-4c57-a1ce-5f6e7d8c9b0a"
ABSENT = "ffffffff-0000-4000-8000-000000000000"
ZEROS = "0x" + "0" * 64
ONES = "0x" + "f" * 64
USAGE = Mask.of(4, 0x47, 0xAB, 0xFF)
H0_MATRIX = Matrix(Mask.of(5, 6), USAGE, USAGE | Mask.of(0x10))
CARDS = {5: "CEX5C", 6: "CEX5A"}
FACILITIES = (Facility.QCI, Facility.APFT, Facility.MSA3)
FEATURES = ("APSC", "APXA", "QACT", "RC8A")
GIVE_ALL_CARDS = "-5,-6"
GIVE_ALL_DOMAINS = "-4,-0x47,-0xab,-0xff"
TYPE = "devices/vfio_ap/matrix/mdev_supported_types/vfio_ap-passthrough"
PATIENCE = 20.0  # seconds that a thread may take before a test is given up


class Witness(Filter):
    """Notes every function that is executed on an adapter's queues."""

    def __init__(self) -> None:
        self.seen: list[tuple[QueueFunction, Apqn]] = []

    def function(self, queue: Queue, function: QueueFunction) -> Answer | None:
        self.seen.append((function, queue.apqn))
        return None

    def zeroized(self) -> set[str]:
        """The queues that got a ZAPQ."""
        return {str(apqn) for function, apqn in self.seen if function is QueueFunction.ZAPQ}

    def count(self, function: QueueFunction, apqn: str) -> int:
        """How often a function was executed on a queue."""
        return self.seen.count((function, Apqn.parse(apqn)))


class ObservedClock(ManualClock):
    """A manual clock that counts who begins to wait: tests need no sleep to see that something blocks.

    With ``automatic`` whoever waits with a limit moves the time on himself.
    """

    def __init__(self) -> None:
        super().__init__()
        self._seen = threading.Condition()
        self.waits = 0
        self.automatic = False

    def wait_for(
        self, condition: threading.Condition, predicate: Callable[[], bool], timeout: float | None = None
    ) -> bool:
        with self._seen:
            self.waits += 1
            self._seen.notify_all()
        if self.automatic and timeout is not None:
            self.advance(timeout)
            return predicate()
        return super().wait_for(condition, predicate, timeout)

    def until_waits(self, count: int) -> None:
        """Return when ``count`` waits have begun since the clock was made; fails if they do not."""
        with self._seen:
            assert self._seen.wait_for(lambda: self.waits >= count, PATIENCE), "nobody waits"


class Background:
    """Something that may block, on a thread of its own."""

    def __init__(self, action: Callable[[], Any]) -> None:
        self.result: Any = None
        self._thread = threading.Thread(target=self._run, args=(action,), daemon=True)
        self._thread.start()

    def _run(self, action: Callable[[], Any]) -> None:
        try:
            self.result = action()
        except Exception as error:
            self.result = error

    @property
    def blocked(self) -> bool:
        return self._thread.is_alive()

    def finish(self) -> Any:
        """What came out; fails if it does not end."""
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive(), "it still blocks"
        return self.result


class Guest:
    """A VM whose VMM is the test: it opens the mdev, listens to its events and resets it."""

    def __init__(self, host: Host, uuid: str, *, request_fd: bool = True, **options: Any) -> None:
        self.vm: Vm = host.system.vmm.create_vm(f"vm-{uuid}", **options)
        self.level = self.vm.level
        self.file = self.vm.open(uuid)
        self.request, self.config = EventFd(), EventFd()
        self.file.listen(self.request if request_fd else None, self.config)

    @property
    def changes(self) -> int:
        """How often the VMM was told that the configuration changed."""
        return self.config.count

    def stop(self) -> None:
        self.vm.stop()


class Mdev:
    """A mediated device of a host."""

    def __init__(self, host: Host, uuid: str) -> None:
        self.host = host
        self.uuid = uuid
        self.path = f"devices/vfio_ap/matrix/{uuid}"

    def write(self, attribute: str, data: str) -> str:
        return self.host.write(f"{self.path}/{attribute}", data)

    def read(self, attribute: str) -> str:
        return self.host.read(f"{self.path}/{attribute}")

    def assign(self, adapters: Iterable[int | str] = (), domains: Iterable[int | str] = ()) -> list[str]:
        """Assign adapters, then domains; the answers."""
        return [self.write("assign_adapter", f"{number}\n") for number in adapters] + [
            self.write("assign_domain", f"{number}\n") for number in domains
        ]

    def assigned(self, adapters: Iterable[int | str] = (), domains: Iterable[int | str] = ()) -> Mdev:
        """The same, and all must succeed."""
        assert set(self.assign(adapters, domains)) <= {"ok"}
        return self

    @property
    def matrix(self) -> str:
        return lines(self.read("matrix"))

    @property
    def guest_matrix(self) -> str:
        return lines(self.read("guest_matrix"))

    @property
    def control_domains(self) -> str:
        return lines(self.read("control_domains"))

    def start(self, **options: Any) -> Guest:
        """Start a VM that holds the mdev."""
        return Guest(self.host, self.uuid, **options)


def lines(content: str) -> str:
    """The notation of the vectors, ``a|b``, for whole lines."""
    assert not content or content.endswith("\n")
    return "|".join(content.split("\n")[:-1])


class Host:
    """A machine with one LPAR and its Linux: H0 unless said otherwise."""

    def __init__(
        self,
        *,
        cards: dict[int, str] | None = None,
        matrix: Matrix = H0_MATRIX,
        facilities: Iterable[int] = FACILITIES,
        features: Iterable[str] = FEATURES,
        max_adapter: int = 63,
        max_domain: int = 255,
        card_options: dict[int, dict[str, Any]] | None = None,
        channel_reports: bool = False,
        **linux: Any,
    ) -> None:
        self.clock = ObservedClock()
        self.machine = Cpc(
            "cpc1",
            clock=self.clock,
            facilities=facilities,
            features=features,
            max_adapter=max_adapter,
            max_domain=max_domain,
            channel_reports=channel_reports,
        )
        self.witness = Witness()
        for number, kind in (CARDS if cards is None else cards).items():
            self.plug(number, kind, **(card_options or {}).get(number, {}))
        self.lpar = self.machine.add_lpar(ActivationProfile("lpar", matrix))
        self.system = LinuxSystem(self.machine, self.lpar.level, name="lpar", **linux)
        self.clock.advance(1)  # the queues come out of their first reset
        self.sysfs = self.system.sysfs
        self.events: list[Uevent] = []
        self.system.uevents.subscribe(self.events.append)
        self._log_mark = 0

    def close(self) -> None:
        self.machine.close()

    def background(self, action: Callable[[], Any]) -> Background:
        """Start something that blocks; returns when it waits."""
        waits = self.clock.waits
        started = Background(action)
        self.clock.until_waits(waits + 1)
        return started

    # sysfs

    def write(self, path: str, data: str | bytes) -> str:
        """``ok`` if all was written, else the errno's name."""
        content = data.encode("latin-1") if isinstance(data, str) else data
        try:
            assert self.sysfs.write(path, content) == len(content)
        except OSError as error:
            return errno_name(error)
        return "ok"

    def read(self, path: str) -> str:
        """The content, or the errno's name."""
        try:
            return self.sysfs.read(path).decode("latin-1")
        except OSError as error:
            return errno_name(error)

    def bus(self, name: str) -> str:
        return self.read(f"bus/ap/{name}")

    def apmask(self, text: str) -> str:
        return self.write("bus/ap/apmask", text)

    def aqmask(self, text: str) -> str:
        return self.write("bus/ap/aqmask", text)

    def masks(self) -> tuple[str, str]:
        return self.bus("apmask").rstrip("\n"), self.bus("aqmask").rstrip("\n")

    # devices

    def device(self, name: str) -> str:
        """The path of a card or queue."""
        return f"bus/ap/devices/{name}"

    def devices(self) -> list[str]:
        return self.sysfs.list("bus/ap/devices")

    def queues(self) -> list[str]:
        return [name for name in self.devices() if "." in name]

    def driver(self, name: str) -> str:
        """The driver of a card or queue, ``-`` without one."""
        try:
            return self.sysfs.readlink(f"{self.device(name)}/driver").rpartition("/")[2]
        except OSError:
            return "-"

    def drivers(self) -> dict[str, str]:
        return {name: self.driver(name) for name in self.queues()}

    def on(self, driver: str) -> list[str]:
        """The queues bound to a driver."""
        return [name for name, bound in self.drivers().items() if bound == driver]

    def attribute(self, device: str, name: str) -> str:
        return self.read(f"{self.device(device)}/{name}")

    def status(self, queue: str) -> str:
        return self.attribute(queue, "status")

    def bind(self, driver: str, queue: str) -> str:
        return self.write(f"bus/ap/drivers/{driver}/bind", queue)

    def unbind(self, driver: str, queue: str) -> str:
        return self.write(f"bus/ap/drivers/{driver}/unbind", queue)

    def probe(self, queue: str) -> str:
        return self.write("bus/ap/drivers_probe", queue)

    def override(self, queue: str, driver: str) -> str:
        return self.write(f"{self.device(queue)}/driver_override", driver)

    # mdevs

    def create(self, uuid: str = U1) -> Mdev:
        assert self.write(f"{TYPE}/create", uuid) == "ok"
        return Mdev(self, uuid)

    # the machine

    def plug(self, number: int, kind: str, **options: Any) -> None:
        adapter = self.machine.add_adapter(number, CardType.parse(kind), **options)
        adapter.workers = Inline()
        adapter.filters.add(self.witness)

    def scan(self) -> None:
        assert self.write("bus/ap/scans", "1\n") == "ok"

    def set_profile(
        self, adapters: Mask | None = None, usage: Mask | None = None, control: Mask | None = None
    ) -> None:
        """Edit the activation profile and scan."""
        old = self.lpar.profile.matrix
        self.machine.set_profile(
            "lpar",
            Matrix(
                old.apm if adapters is None else adapters,
                old.aqm if usage is None else usage,
                old.adm if control is None else control,
            ),
        )
        self.scan()

    def set_state(self, adapter: int, state: AdapterState) -> None:
        self.machine.set_adapter_state(adapter, state)

    def answer(
        self, function: QueueFunction, codes: Iterable[ResponseCode | Answer], *apqns: str, forever: bool = False
    ) -> Callable[[], None]:
        """Have a function on some queues answered with these codes; returns the way to stop."""
        chosen = [Apqn.parse(apqn) for apqn in apqns]
        script = ScriptedAnswers(function, codes, apqns=chosen, forever=forever)
        numbers = {apqn.adapter for apqn in chosen}
        for number in numbers:
            self.machine.adapters[number].filters.add(script)

        def stop() -> None:
            for number in numbers:
                self.machine.adapters[number].filters.remove(script)

        return stop

    def rc(self, guest: Guest, apqn: str) -> int:
        """The response code of a TAPQ that a guest executes."""
        return int(self.machine.port(guest.level, Apqn.parse(apqn)).tapq()[0].response_code)

    # what the kernel told

    def news(self) -> list[Uevent]:
        """The uevents since the last call."""
        news, self.events[:] = self.events[:], []
        return news

    def log(self) -> list[str]:
        """The kernel log since the last call."""
        entries = self.system.log.lines()
        news, self._log_mark = entries[self._log_mark :], len(entries)
        return news


def h1(**options: Any) -> Host:
    """H0 and adapters 5 and 6 given to vfio_ap."""
    host = Host(**options)
    assert host.apmask(GIVE_ALL_CARDS + "\n") == "ok"
    return host


def hd(**options: Any) -> Host:
    """H1 and the four domains given too."""
    host = h1(**options)
    assert host.aqmask(GIVE_ALL_DOMAINS + "\n") == "ok"
    return host


class Documented:
    """HX: the three guests of the kernel document."""

    def __init__(self, **options: Any) -> None:
        self.host = hd(**options)
        self.mdevs = [self.host.create(uuid) for uuid in (U1, U2, U3)]
        self.mdevs[0].assigned((5, 6), (4, "0xab"))
        self.mdevs[1].assigned((5,), ("0x47", "0xff"))
        self.mdevs[2].assigned((6,), ("0x47", "0xff"))
