"""The coprocessors: AES secure keys and RSA through CCA, encryption by EP11, beside the bare library calls."""

from __future__ import annotations

import os
import time
from itertools import count
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7

from apmatrix.arch import Apqn, CardType, KeySet, Mask, Matrix
from apmatrix.arch.messages import Ep11Function
from apmatrix.cards import Action, KeyCommand
from apmatrix.cards.arithmetic import CrtKey, crt
from apmatrix.cards.cca.blocks import Parameters, Part, parse_parts
from apmatrix.cards.ep11.payload import Payload
from apmatrix.cards.requests import (
    cca_control,
    cca_message,
    ep11_control,
    ep11_message,
    read_cca_control,
    read_ep11_control,
    reply_parts,
)
from apmatrix.linux import LinuxSystem
from apmatrix.linux.zcrypt import ModExpoCrt
from apmatrix.machine import ActivationProfile, Cpc
from benchmarks.report import Result, rate

if TYPE_CHECKING:
    from collections.abc import Iterator

CCA, EP11 = Apqn(5, 4), Apqn(6, 4)
SECONDS = 1.5
DEPTH = 8
IV = bytes(16)
KEY_PARTS = b"".join(Part(tag, bytes(64)).build() for tag in (0x10, 0x10, 0x30, 0x10, 0x10, 0x10))
EP11_ATTRIBUTES = bytes.fromhex("10010000 00200c00 00200c00 00000161 00000020")
EP11_KEY_GENERATE = bytes.fromhex("00001080")
EP11_CBC = bytes.fromhex("00001085") + IV


def results() -> list[Result]:
    """Everything this module measures."""
    site = Site()
    try:
        return [*site.secure_keys(), site.encryption(), *site.rsa()]
    finally:
        site.machine.close()


class Site:
    """A machine with a CCA and an EP11 card that have their master keys."""

    def __init__(self) -> None:
        self.machine = Cpc("bench", workers=1)
        self.machine.add_adapter(CCA.adapter, CardType.parse("CEX8C"))
        self.machine.add_adapter(EP11.adapter, CardType.parse("CEX8P"))
        domain = Mask.of(CCA.domain)
        self.level = self.machine.add_lpar(
            ActivationProfile("lpar", Matrix(Mask.of(CCA.adapter, EP11.adapter), domain, domain))
        ).level
        key = os.urandom(32)
        for action, part in ((Action.LOAD_FIRST, key), (Action.LOAD_LAST, key[::-1]), (Action.SET, b"")):
            self._administer(CCA, KeyCommand(action, KeySet.AES, CCA.domain, part))
        for action, part in ((Action.IMPORT, key), (Action.COMMIT, b""), (Action.FINALIZE, b"")):
            self._administer(EP11, KeyCommand(action, KeySet.WK, EP11.domain, part))

    def secure_keys(self) -> Iterator[Result]:
        """Make a secure key; turn one into a protected key, as the kernel does for each use by CPACF."""
        rules = b"OP      KEYLN32 AESDATA " + bytes(8)
        generate = _cca(Parameters(b"KG", (), rules, KEY_PARTS))
        reply = read_cca_control(reply_parts(self.ask(CCA, generate))[0])
        token = parse_parts(reply.parameters.keys)[0].content
        unwrap = _cca(Parameters(b"US", (), Part(1, b"").build(), Part(0, token).build()))
        key = os.urandom(32)
        cbc = Cipher(algorithms.AES(key), modes.CBC(IV))
        xts = Cipher(algorithms.AES(key + key[::-1]), modes.XTS(IV))

        def unwrapped() -> None:
            xts.encryptor().update(cbc.decryptor().update(token)[:32])

        yield Result(
            "AES secure key made (CCA KG) by NQAP/DQAP",
            self.rate(CCA, generate),
            "/s",
            "random bytes and AES-CBC in the library",
            rate(lambda: cbc.encryptor().update(os.urandom(32).ljust(64))),
        )
        yield Result(
            "AES secure key to protected key (CCA US) by NQAP/DQAP",
            self.rate(CCA, unwrap, special=True),
            "/s",
            "AES-CBC and AES-XTS in the library",
            rate(unwrapped),
        )

    def encryption(self) -> Result:
        """Encrypt 4 KiB with a key that only the card can open."""
        strings = (bytes(4), (32).to_bytes(4, "big"), EP11_KEY_GENERATE, EP11_ATTRIBUTES, b"")
        reply = read_ep11_control(reply_parts(self.ask(EP11, _ep11(4, 21, strings)))[0])
        assert reply.value == 0, reply
        data = os.urandom(4096)
        message = _ep11(1, 19, (bytes(4), EP11_CBC, reply.data, data))
        assert read_ep11_control(reply_parts(self.ask(EP11, message))[0]).value == 0
        cbc = Cipher(algorithms.AES(os.urandom(32)), modes.CBC(IV))

        def encrypted() -> None:
            padder = PKCS7(128).padder()
            cbc.encryptor().update(padder.update(data) + padder.finalize())

        return Result(
            "4 KiB encrypted with a secure key (EP11) by NQAP/DQAP",
            self.rate(EP11, message),
            "/s",
            "AES-CBC of 4 KiB in the library",
            rate(encrypted),
        )

    def rsa(self) -> Iterator[Result]:
        """Private RSA: by instructions with a full queue, and by a program in Linux, one request after the other."""
        private = rsa.generate_private_key(65537, 2048).private_numbers()
        key = CrtKey(private.p, private.q, private.dmp1, private.dmq1, private.iqmp)
        value = private.public_numbers.n // 3
        parts = zip(key, (136, 128, 136, 128, 136), strict=True)
        request = ModExpoCrt(value.to_bytes(256, "big"), *(number.to_bytes(size, "big") for number, size in parts))
        message = request.cca_message(CCA.domain)
        straight = rate(lambda: crt(value, key), SECONDS / 3)
        called = "the same arithmetic called straight"
        yield Result("RSA-2048 CRT through CCA (PD) by NQAP/DQAP", self.rate(CCA, message), "/s", called, straight)
        linux = LinuxSystem(self.machine, self.level)
        zcrypt = rate(lambda: linux.zcrypt.rsa(request), SECONDS / 3)
        linux.shut_down()
        yield Result("RSA-2048 CRT through CCA by zcrypt, one at a time", zcrypt, "/s", called, straight)

    def ask(self, apqn: Apqn, message: bytes, *, special: bool = False) -> bytes:
        """The reply to one message."""
        port = self.machine.port(self.level, apqn)
        status = port.nqap(1, message, special=special)
        assert status.ok, status
        self.machine.adapters[apqn.adapter].queue(apqn.domain).wait()
        return port.dqap(12288).data

    def rate(self, apqn: Apqn, message: bytes, *, special: bool = False) -> float:
        """Replies per second of a queue that is kept full: the best of three stretches."""
        return max(self._stretch(apqn, message, special=special) for _ in range(3))

    def _stretch(self, apqn: Apqn, message: bytes, *, special: bool) -> float:
        port = self.machine.port(self.level, apqn)
        target = self.machine.adapters[apqn.adapter].queue(apqn.domain)
        numbers, outstanding, done = count(1), 0, 0
        started = time.perf_counter()
        while (now := time.perf_counter()) < started + SECONDS / 3 or outstanding:
            while now < started + SECONDS / 3 and outstanding < DEPTH:
                assert port.nqap(next(numbers), message, special=special).ok
                outstanding += 1
            target.wait()
            while (delivery := port.dqap(12288)).status is not None and delivery.status.ok:
                outstanding -= 1
                done += 1
        return done / (time.perf_counter() - started)

    def _administer(self, apqn: Apqn, command: KeyCommand) -> None:
        command.result(self.ask(apqn, command.message(apqn.domain)))


def _cca(parameters: Parameters) -> bytes:
    return cca_message(cca_control(parameters, CCA.domain))


def _ep11(api: int, function: int, strings: tuple[bytes, ...]) -> bytes:
    return ep11_message(ep11_control(Payload(Ep11Function(api=api, number=function), EP11.domain, strings)))
