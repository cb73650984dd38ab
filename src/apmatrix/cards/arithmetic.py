"""Raw RSA at the speed of a library.

OpenSSL's libcrypto computes, called through ctypes, which releases the interpreter lock; gmpy2 replaces it where
it cannot be loaded. The tests check both against each other and against plain ``pow``.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import threading
from abc import ABC, abstractmethod
from typing import Final, NamedTuple

import gmpy2  # type: ignore[import-untyped]


class Power(NamedTuple):
    """``base ** exponent % modulus``; the modulus must be odd, and no part negative."""

    base: int
    exponent: int
    modulus: int

    def __repr__(self) -> str:
        return f"<Power of {self.modulus.bit_length()} bits>"  # the exponent may be a private one


class Engine(ABC):
    """A library that computes powers with the interpreter lock released."""

    name: str

    @abstractmethod
    def power(self, wanted: Power) -> int:
        """``wanted.base`` to the power of ``wanted.exponent``, modulo ``wanted.modulus``."""

    def powers(self, first: Power, second: Power) -> tuple[int, int]:
        """Two powers, together where the library can."""
        return self.power(first), self.power(second)


class GmpEngine(Engine):
    """Computes with GMP, through gmpy2."""

    name = "gmpy2"

    def power(self, wanted: Power) -> int:
        """``wanted.base`` to the power of ``wanted.exponent``, modulo ``wanted.modulus``."""
        with gmpy2.context(gmpy2.get_context(), allow_release_gil=True):
            return int(gmpy2.powmod(*wanted))


_BN = ctypes.c_void_p
_OPERANDS: Final = 8


class _Scratch:
    """A BN_CTX and numbers to compute with; each thread has its own."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library
        self.context = library.BN_CTX_new()
        self.numbers = tuple(library.BN_new() for _ in range(_OPERANDS))
        if not self.context or not all(self.numbers):
            raise MemoryError("libcrypto has no memory for numbers")

    def __del__(self) -> None:
        for number in self.numbers:
            self._library.BN_clear_free(number)
        self._library.BN_CTX_free(self.context)


class _ThreadScratch(threading.local):
    """Makes each thread's scratch at its first use; it is freed when the thread ends."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self.own = _Scratch(library)


class LibcryptoEngine(Engine):
    """OpenSSL's constant-time Montgomery exponentiation; OSError where the library cannot be loaded."""

    name = "libcrypto"

    def __init__(self) -> None:
        path = ctypes.util.find_library("crypto") or "libcrypto.so.3"
        slow = ctypes.CDLL(path)  # releases the interpreter lock: worth it for a power only
        quick = ctypes.PyDLL(path)
        try:
            for library in (slow, quick):
                library.BN_CTX_new.restype = library.BN_new.restype = _BN
            quick.BN_bin2bn.argtypes = (ctypes.c_char_p, ctypes.c_int, _BN)
            quick.BN_bin2bn.restype = _BN
            quick.BN_bn2binpad.argtypes = (_BN, ctypes.c_char_p, ctypes.c_int)
            for release in (quick.BN_clear, quick.BN_clear_free, quick.BN_CTX_free):
                release.argtypes = (_BN,)
                release.restype = None
            slow.BN_mod_exp_mont_consttime.argtypes = (_BN,) * 6
            self._pair = getattr(slow, "BN_mod_exp_mont_consttime_x2", None)  # from OpenSSL 3.0 on
            if self._pair is not None:
                self._pair.argtypes = (_BN,) * 11
        except AttributeError as error:
            raise OSError(f"{path} lacks a function: {error}") from None
        self._power = slow.BN_mod_exp_mont_consttime
        self._load_number, self._store_number = quick.BN_bin2bn, quick.BN_bn2binpad
        self._clear = quick.BN_clear
        self._scratch = _ThreadScratch(quick)

    def power(self, wanted: Power) -> int:
        """``wanted.base`` to the power of ``wanted.exponent``, modulo ``wanted.modulus``."""
        scratch = self._scratch.own
        result, base, exponent, modulus = numbers = scratch.numbers[:4]
        self._load(base, wanted.base)
        self._load(exponent, wanted.exponent)
        self._load(modulus, wanted.modulus)
        done = self._power(result, base, exponent, modulus, scratch.context, None)
        return self._finish(done, ((result, wanted),), numbers)[0]

    def powers(self, first: Power, second: Power) -> tuple[int, int]:
        """Two powers with one release of the interpreter lock."""
        if self._pair is None:
            return super().powers(first, second)
        scratch = self._scratch.own
        result1, base1, exponent1, modulus1, result2, base2, exponent2, modulus2 = scratch.numbers
        for number, value in zip(
            (base1, exponent1, modulus1, base2, exponent2, modulus2), (*first, *second), strict=True
        ):
            self._load(number, value)
        done = self._pair(
            result1, base1, exponent1, modulus1, None,
            result2, base2, exponent2, modulus2, None, scratch.context,
        )  # fmt: skip
        found = self._finish(done, ((result1, first), (result2, second)), scratch.numbers)
        return found[0], found[1]

    def _load(self, number: int, value: int) -> None:
        data = value.to_bytes((value.bit_length() + 7) // 8, "big")
        if not self._load_number(data, len(data), number):
            raise MemoryError("libcrypto has no memory for a number")

    def _finish(self, done: int, results: tuple[tuple[int, Power], ...], numbers: tuple[int, ...]) -> list[int]:
        """Fetch the results, and leave no key behind in the library's numbers."""
        found = []
        if done:
            for number, wanted in results:
                size = (wanted.modulus.bit_length() + 7) // 8
                buffer = ctypes.create_string_buffer(size)
                self._store_number(number, buffer, size)
                found.append(int.from_bytes(buffer.raw, "big"))
        for number in numbers:
            self._clear(number)
        if not done:
            raise ArithmeticError("libcrypto refused a power: is the modulus even?")
        return found


def _best_engine() -> Engine:
    try:
        return LibcryptoEngine()
    except OSError:
        return GmpEngine()


ENGINE: Final = _best_engine()
"""The engine that the cards use."""


def modexp(base: int, exponent: int, modulus: int) -> int:
    """``base ** exponent % modulus`` for an odd modulus; ArithmeticError for an even one or zero."""
    if not modulus & 1:
        raise ArithmeticError("the modulus is even")
    return ENGINE.power(Power(base, exponent, modulus))


class CrtKey(NamedTuple):
    """An RSA private key in Chinese-remainder form: ``u`` is the inverse of q modulo p (hardware.md 3.1)."""

    p: int
    q: int
    dp: int
    dq: int
    u: int

    def __repr__(self) -> str:
        return f"<CrtKey of {(self.p * self.q).bit_length()} bits>"


def crt(message: int, key: CrtKey) -> int:
    """``m2 + q * (u * (m1 - m2) mod p)``; ArithmeticError if a prime is even or zero."""
    p, q, dp, dq, u = key
    if not p & q & 1:
        raise ArithmeticError("a prime is even")
    m1, m2 = ENGINE.powers(Power(message, dp, p), Power(message, dq, q))
    return int(m2 + q * (gmpy2.mpz(u) * (m1 - m2) % p))
