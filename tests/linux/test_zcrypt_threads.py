"""Many programs at once: every answer is right, none is lost, none is another's."""

from __future__ import annotations

import random
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from apmatrix.arch import CardType, Mask, Matrix
from apmatrix.cards import Filter, Handling
from apmatrix.linux import LinuxSystem
from apmatrix.linux.zcrypt import ByteOrder, ModExpo
from apmatrix.machine import ActivationProfile, Cpc
from support import ep11
from support.bench import FACILITIES_OF_M, POLLED
from support.zcrypt import Storage, cprb, ep11_cprb, operands, outcome

THREADS, ROUNDS = 12, 25
MODEXPO = 0xC0007A05


class Hiccups(Filter):
    """Every fifth request fails with a code that Linux tries again."""

    def __init__(self):
        self._lock = threading.Lock()
        self.count = self.failed = 0

    def request(self, _queue, handling):
        with self._lock:
            self.count += 1
            if self.count % 5:
                return handling
            self.failed += 1
        return Handling(handling.request, bytes((0, 0x82, 0, 0, 0x10, 0, 0, 0)))


class LoadedMachine:
    """Two queues of each mode, real workers, real time."""

    def __init__(self, facilities):
        self.machine = Cpc("M", facilities=facilities, max_adapter=63, max_domain=84)
        self.hiccups = Hiccups()
        for number, kind in {2: "CEX7A", 5: "CEX8C", 10: "CEX8P"}.items():
            self.machine.add_adapter(number, CardType.parse(kind))
        matrix = Matrix(Mask.of(2, 5, 10), Mask.of(6, 0x33), Mask.of(6, 0x33))
        self.machine.add_lpar(ActivationProfile("lpar", matrix))
        self.system = LinuxSystem(self.machine, self.machine.lpars["lpar"].level)
        with self.system.kernel:  # the boot's own request
            assert self.system.kernel.wait_until(lambda: self.system.hwrng.prefetched > 0, 60)
        for card in self.system.ap.cards.values():
            self.system.sysfs.write(f"bus/ap/devices/{card.name}/request_count", b"0")
            self.machine.adapters[card.number].filters.add(self.hiccups)

    def close(self):
        self.system.shut_down()
        self.machine.close()


@pytest.fixture(params=[FACILITIES_OF_M, POLLED], ids=["interrupts", "polling"])
def machine(request):
    made = LoadedMachine(request.param)
    yield made
    made.close()


def program(machine, seed):
    """Sends requests of all kinds; the number of right answers."""
    generator = random.Random(seed)
    storage = Storage(generator.choice(list(ByteOrder)))
    file = machine.system.zcrypt_nodes.open("z90crypt", storage.order)
    zcrypt = machine.system.zcrypt
    right = 0
    for _ in range(ROUNDS):
        kind = generator.choice(("ioctl", "coprocessor", "random", "ep11"))
        if kind == "ioctl":
            parts, expected = operands(generator)
            output = storage.put(len(expected))
            file.ioctl(MODEXPO, storage.modexpo(*parts, output=output), storage)
            right += storage.content(output) == expected
        elif kind == "coprocessor":
            parts, expected = operands(generator)
            queue = generator.choice(("05.0006", "05.0033"))
            right += zcrypt.rsa(ModExpo(*parts), queue=queue) == expected
        elif kind == "random":
            domain = generator.choice((6, 0x33))
            reply = zcrypt.cprb(cprb(domain, data_room=4096))
            right += (reply.cprbx.domain, len(reply.data)) == (domain, 4096)
        else:
            domain = generator.choice((6, 0x33))
            reply = zcrypt.ep11(ep11_cprb(((0x0A, domain),), target=domain))
            right += reply[12:16] == ep11.word(domain)
    file.close()
    return right


def test_every_answer_is_right_and_nobody_elses(machine):
    with ThreadPoolExecutor(THREADS) as pool:
        right = list(pool.map(lambda seed: program(machine, seed), range(THREADS)))
    assert right == [ROUNDS] * THREADS
    queues = machine.system.ap.queues.values()
    assert sum(queue.total for queue in queues) == machine.hiccups.count
    assert machine.hiccups.count == THREADS * ROUNDS + machine.hiccups.failed
    assert not any(queue.pending or queue.requests or queue.outstanding for queue in queues)
    assert not any(queue.load or queue.card.load for queue in queues)
    assert machine.system.zcrypt.opens == 0


def test_programs_while_queues_come_and_go(machine):
    """Requests end right or with one of the errors that a program may see then."""
    stop = threading.Event()
    results: list[str] = []

    def ask(request, answers):
        answers.append(machine.system.zcrypt.rsa(request))

    def requests(seed):
        generator = random.Random(seed)
        while not stop.is_set():
            parts, expected = operands(generator)
            answers: list[bytes] = []
            result = outcome(partial(ask, ModExpo(*parts), answers))
            results.append(result if result != "ok" or answers == [expected] else "wrong")

    with ThreadPoolExecutor(4) as pool:
        running = [pool.submit(requests, seed) for seed in range(4)]
        while len(results) < 400 and not any(future.done() for future in running):
            for device in ("02.0006", "02.0033", "card05"):
                machine.system.sysfs.write(f"bus/ap/devices/{device}/online", b"0")
            machine.system.sysfs.write("bus/ap/devices/02.0006/reset", b"1")
            for device in ("card05", "02.0033", "02.0006"):
                machine.system.sysfs.write(f"bus/ap/devices/{device}/online", b"1")
            machine.system.sysfs.write("bus/ap/apmask", b"-2")
            machine.system.sysfs.write("bus/ap/apmask", b"+2")
        stop.set()
        for future in running:
            future.result()
    assert set(results) <= {"ok", "ENODEV", "EIO"}
    assert "ok" in results
    parts, expected = operands(random.Random(99))
    assert machine.system.zcrypt.rsa(ModExpo(*parts)) == expected
