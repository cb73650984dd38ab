"""Real Linux systems in QEMU on an emulated machine, for the tests of the clients."""

from __future__ import annotations

import random
import re
import threading
from typing import TYPE_CHECKING, Any

import gmpy2  # type: ignore[import-untyped]
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from apmatrix.arch import CardType, Mask, Matrix
from apmatrix.faces.boot import BootedGuest, Hardware, LevelProcessor, PackageError, Software, Way
from apmatrix.machine import ActivationProfile, Cpc

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from apmatrix.arch import ConditionCode, Instruction, Registers
    from apmatrix.machine import Level, Memory


def lszcrypt(text: bytes | bytearray) -> dict[str, list[str]]:
    """The lines of ``lszcrypt -V`` about cards and queues, by their name."""
    lines = (line.split() for line in text.decode().splitlines())
    return {line[0]: line[1:] for line in lines if line and re.fullmatch(r"[0-9a-f]{2}(\.[0-9a-f]{4})?", line[0])}


def rights(output: bytes | bytearray) -> list[tuple[int, ...]]:
    """Right, wrong, failed and errno of each process."""
    found = re.findall(rb"right (\d+) wrong (\d+) failed (\d+) errno (\d+)", output)
    return [tuple(map(int, numbers)) for numbers in found]


class Watched(LevelProcessor):
    """A level that shows what is executed there: ``seen`` gets each instruction and its registers.

    ``busy`` is set after ``count`` instructions.
    """

    def __init__(
        self,
        session: Session,
        count: int = 0,
        seen: Callable[[Instruction, Registers], object] = lambda instruction, registers: None,
    ) -> None:
        super().__init__(session.machine, session.level)
        self.count = count
        self.seen = seen
        self.resets = 0
        self.busy = threading.Event()

    def execute(self, instruction: Instruction, registers: Registers, memory: Memory) -> ConditionCode:
        self.seen(instruction, registers)
        self.count -= 1
        if not self.count:
            self.busy.set()
        return super().execute(instruction, registers, memory)

    def reset(self) -> None:
        self.resets += 1
        super().reset()


class Session:
    """A machine with a CCA coprocessor 5 and an accelerator 6, and real Linux systems on it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.machine = Cpc()
        self.machine.add_adapter(5, CardType.parse("CEX8C"), message_limit=6)
        self.machine.add_adapter(6, CardType.parse("CEX8A"))
        self.level = self.add("kvm1", Matrix(Mask.of(5, 6), Mask.of(4, 0xAB), Mask.of(4)))

    def add(self, name: str, matrix: Matrix) -> Level:
        return self.machine.add_lpar(ActivationProfile(name, matrix)).level

    def guest(
        self,
        software: Software,
        *,
        level: Level | None = None,
        processors: int = 1,
        way: Way = Way.MAILBOX,
        **parts: Any,
    ) -> BootedGuest:
        processor = parts.pop("processor", None) or LevelProcessor(self.machine, level or self.level)
        try:
            kernel, initrd = software.prepare(lambda _: None)
        except PackageError as error:
            pytest.skip(f"packages for s390x are not available: {error}")
        hardware = Hardware(kernel, initrd, processor.facilities, processors=processors)
        return BootedGuest(hardware, processor, way=way, **parts)

    def run(
        self, command: str, *, kernel: str | None = None, extra: Mapping[str, bytes] | None = None, **parts: Any
    ) -> tuple[int, bytes]:
        """Exit code and output of a command in a guest."""
        output = bytearray()
        with self.guest(Software(kernel, command=command, extra=dict(extra or {})), **parts) as guest:
            guest.wait_until_ready()
            code = guest.run_command(output.extend, 300)
            guest.wait_until_ended(60)
        return code, bytes(output)


def vectors() -> bytes:
    """RSA requests of 1024, 2048 and 4096 bits with their results, as tests/data/ica.c reads them."""
    lines = []
    for size in (1024, 2048, 4096):
        private = rsa.generate_private_key(65537, size).private_numbers()
        modulus = private.public_numbers.n
        p, q = max(private.p, private.q), min(private.p, private.q)
        text = random.randrange(2, modulus)
        octets, half = size // 8, size // 16

        def digits(number: int, length: int) -> str:
            return int(number).to_bytes(length, "big").hex()

        whole = (digits(number, octets) for number in (modulus, 65537, text, gmpy2.powmod(text, 65537, modulus)))
        lines.append(" ".join(("me", *whole)))
        parts = (p, q, private.d % (p - 1), private.d % (q - 1), gmpy2.invert(q, p))
        result = digits(gmpy2.powmod(text, private.d, modulus), octets)
        lines.append(" ".join(("crt", *(digits(part, half) for part in parts), digits(text, octets), result)))
    return "\n".join(lines).encode() + b"\n"
