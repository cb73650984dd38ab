import threading
from math import gcd

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from apmatrix.cards import arithmetic
from apmatrix.cards.arithmetic import CrtKey, GmpEngine, LibcryptoEngine, Power, crt, modexp

ENGINES = [GmpEngine(), LibcryptoEngine()]
big = st.one_of(st.integers(0, 1 << 70), st.integers(0, (1 << 1024) - 1), st.integers(0, (1 << 2100) - 1))
odd = big.map(lambda number: number | 1)
powers = st.builds(Power, big, big, odd)


def test_the_fast_library_is_the_one_in_use():
    assert arithmetic.ENGINE.name == "libcrypto"


@pytest.mark.parametrize("engine", ENGINES, ids=lambda engine: engine.name)
@given(wanted=powers)
def test_power_is_pow(engine, wanted):
    assert engine.power(wanted) == pow(*wanted)


@pytest.mark.parametrize("engine", ENGINES, ids=lambda engine: engine.name)
@given(first=powers, second=powers)
def test_two_powers_are_pow(engine, first, second):
    assert engine.powers(first, second) == (pow(*first), pow(*second))


@given(message=big, p=odd, q=odd, exponent=st.integers(1, 1 << 300))
def test_crt_is_the_power_for_coprime_numbers(message, p, q, exponent):
    """For any coprime p and q, not only primes: both halves use the same exponent."""
    assume(gcd(p, q) == 1 and p > 1)
    key = CrtKey(p, q, exponent, exponent, pow(q, -1, p))
    assert crt(message, key) == pow(message, exponent, p * q)


@pytest.mark.parametrize("modulus", [0, 2, 1 << 2047])
def test_even_modulus_is_refused(modulus):
    with pytest.raises(ArithmeticError, match="even"):
        modexp(2, 3, modulus)
    for key in (CrtKey(modulus, 7, 1, 1, 1), CrtKey(7, modulus, 1, 1, 1)):
        with pytest.raises(ArithmeticError, match="even"):
            crt(2, key)


def test_library_error_is_raised_and_leaves_the_engine_usable():
    engine = LibcryptoEngine()
    with pytest.raises(ArithmeticError):
        engine.power(Power(2, 3, 10))
    assert engine.power(Power(2, 3, 11)) == 8


def test_threads_do_not_disturb_each_other():
    wrong: list[int] = []

    def work(seed):
        modulus = (seed << 1030) | 1
        exponents = range(1 << 40, (1 << 40) + 60)
        wrong.extend(e for e in exponents if modexp(seed, e, modulus) != pow(seed, e, modulus))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in (3, 5, 7, 11)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_keys_are_never_shown():
    assert "61" not in repr(CrtKey(61, 53, 53, 49, 38))
