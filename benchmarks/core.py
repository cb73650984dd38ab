"""The core: instructions, RSA through the queues, bringing a machine up, assigning mdevs."""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import threading
import time
from functools import partial
from itertools import count

from cryptography.hazmat.primitives.asymmetric import rsa

from apmatrix.arch import ALL_BITS, Apqn, CardType, Instruction, Mask, Matrix, Opcode, Registers
from apmatrix.cards.arithmetic import CrtKey, crt
from apmatrix.linux import LinuxSystem
from apmatrix.linux.zcrypt import ModExpoCrt
from apmatrix.machine import ActivationProfile, Cpc, FlatMemory, Level, execute
from benchmarks.report import Result, rate

QUEUE = Apqn(6, 4)
TAPQ = Instruction(Opcode.PQAP)
NULL_REQUEST = bytes.fromhex("0050001000000000")  # a header without operands: the card refuses it at once
RSA_SECONDS = 3.0


def results() -> list[Result]:
    """Everything this module measures."""
    return [*_instructions(), *_rsa(), *_bring_up(), *_assignments()]


def _machine(workers: int | None = None) -> tuple[Cpc, Level, Level]:
    machine = Cpc("bench", workers=workers)
    machine.add_adapter(6, CardType.parse("CEX8A"))
    domains = Mask.of(4, 5)
    matrix = Matrix(Mask.of(6), domains, domains)
    level = machine.add_lpar(ActivationProfile("lpar", matrix)).level
    nested = level
    for depth in (2, 3):
        nested = nested.child(f"level{depth}")
        nested.set_matrix(matrix)
    return machine, level, nested


def _instructions() -> list[Result]:
    machine, level1, level3 = _machine()
    memory = FlatMemory(0x10000)
    test = 0x0080_0000 | QUEUE.code

    def tapq(level: Level) -> None:
        execute(machine, level, TAPQ, Registers([test, *[0] * 15]), memory)

    memory.write(0x1000, NULL_REQUEST)
    send, receive = Instruction(Opcode.NQAP, 4, 6), Instruction(Opcode.DQAP, 4, 6)
    target = machine.adapters[QUEUE.adapter].queue(QUEUE.domain)

    def exchange(level: Level) -> None:
        registers = [0] * 16
        registers[0], registers[6], registers[7] = 0x4000_0000 | QUEUE.code, 0x1000, len(NULL_REQUEST)
        execute(machine, level, send, Registers(registers), memory)
        target.wait()
        registers[0], registers[6], registers[7] = 0x8000_0000 | QUEUE.code, 0x2000, 12288
        execute(machine, level, receive, Registers(registers), memory)

    numbers: dict[int, int] = {1: 1}
    call = rate(lambda: numbers.get(1))
    requests: queue.Queue[int] = queue.Queue()
    replies: queue.Queue[int] = queue.Queue()

    def answer() -> None:
        while True:
            replies.put(requests.get())

    threading.Thread(target=answer, daemon=True).start()

    def handover() -> None:
        requests.put(1)
        replies.get()

    two_queues = rate(handover)
    found = []
    for name, level in (("level 1", level1), ("level 3", level3)):
        tapqs = rate(partial(tapq, level))
        found.append(Result(f"TAPQ at {name}", tapqs, "/s", "dict.get in a lambda", call))
    for name, level in (("level 1", level1), ("level 3", level3)):
        pairs = rate(partial(exchange, level))
        found.append(
            Result(f"NQAP+DQAP of a null request at {name}", pairs, "/s", "two queue.Queue hand-overs", two_queues)
        )
    machine.close()
    return found


def _rsa() -> list[Result]:
    private = rsa.generate_private_key(65537, 2048).private_numbers()
    modulus = private.public_numbers.n
    value = modulus // 3
    parts = (
        (private.p, 136),
        (private.q, 128),
        (private.dmp1, 136),
        (private.dmq1, 128),
        (private.iqmp, 136),
    )
    message = ModExpoCrt(
        value.to_bytes(256, "big"), *(number.to_bytes(length, "big") for number, length in parts)
    ).accelerator_message()
    key = CrtKey(private.p, private.q, private.dmp1, private.dmq1, private.iqmp)
    found = []
    for workers in (1, 2):
        straight, through = [], []
        for _ in range(3):  # in turns, so that both see the same noise
            straight.append(_straight(workers, value, key))
            through.append(_through_queues(workers, message))
        found.append(
            Result(
                f"RSA-2048 CRT through NQAP/DQAP, {workers} worker{'s' * (workers > 1)}",
                sorted(through)[1],
                "/s",
                "the same arithmetic called straight",
                sorted(straight)[1],
                "≥ 0.95",
            )
        )
    return found


def _straight(threads: int, value: int, key: CrtKey) -> float:
    """Calls per second of the arithmetic, on as many threads."""
    counts = [0] * threads
    end = time.perf_counter() + RSA_SECONDS

    def run(number: int) -> None:
        while time.perf_counter() < end:
            crt(value, key)
            counts[number] += 1

    started = time.perf_counter()
    running = [threading.Thread(target=run, args=(number,)) for number in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    return sum(counts) / (time.perf_counter() - started)


def _through_queues(workers: int, message: bytes) -> float:
    """Requests per second through one queue that is kept full."""
    machine, level, _ = _machine(workers)
    port = machine.port(level, QUEUE)
    target = machine.adapters[QUEUE.adapter].queue(QUEUE.domain)
    numbers = count(1)
    outstanding, done = 0, 0
    started = time.perf_counter()
    end = started + RSA_SECONDS
    while time.perf_counter() < end:
        while outstanding < 8 and port.nqap(next(numbers), message).ok:
            outstanding += 1
        # Two stay in process, so that two workers are busy: who wakes for each reply costs the arithmetic's time.
        target.wait(replies=6)
        while (delivery := port.dqap(12288)).status is not None and delivery.status.ok:
            outstanding -= 1
            done += 1
    elapsed = time.perf_counter() - started
    machine.close()
    return done / elapsed


def _bring_up() -> list[Result]:
    """In a process of its own, for the memory."""
    output = subprocess.run(
        [sys.executable, "-m", "benchmarks.bringup"], capture_output=True, text=True, check=True
    ).stdout
    seen = json.loads(output)
    objects = "65,536 plain objects with a dict each"
    return [
        Result("machine of 256 × 256 up", seen["machine_s"], "s", objects, seen["objects_s"], "< 2 s"),
        Result("and the Linux in it, 65,536 queues bound", seen["linux_s"], "s", objects, seen["objects_s"], "< 2 s"),
        Result("memory of both", seen["megabytes"], "MB", "bare interpreter", seen["bare_megabytes"], "< 300 MB"),
    ]


def _assignments() -> list[Result]:
    """10,000 mdevs with one adapter and one domain each; the cost of the last against the first."""
    machine = Cpc("bench")
    for number in range(64):
        machine.add_adapter(number, CardType.parse("CEX8A"))
    level = machine.add_lpar(ActivationProfile("lpar", Matrix(Mask.up_to(63), ALL_BITS, ALL_BITS))).level
    linux = LinuxSystem(machine, level, apmask="0x0", aqmask="0x0")
    create = "devices/vfio_ap/matrix/mdev_supported_types/vfio_ap-passthrough/create"
    costs = []
    for number in range(10_000):
        uuid = f"00000000-0000-4000-8000-{number:012x}"
        linux.sysfs.write(create, uuid.encode())
        path = f"devices/vfio_ap/matrix/{uuid}"
        started = time.perf_counter()
        linux.sysfs.write(f"{path}/assign_adapter", str(number // 256).encode())
        linux.sysfs.write(f"{path}/assign_domain", str(number % 256).encode())
        costs.append((time.perf_counter() - started) / 2)
    first, last = sorted(costs[10:510])[250], sorted(costs[-500:])[250]
    linux.shut_down()
    machine.close()
    return [
        Result("one assignment with 10,000 mdevs", last * 1e6, "µs", "with the first 500", first * 1e6, "flat"),
    ]
