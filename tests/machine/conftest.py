"""A machine with two LPARs."""

import pytest

from apmatrix.arch import CardType, Mask, Matrix
from apmatrix.cards import Inline, ManualClock
from apmatrix.machine import ActivationProfile, Cpc
from support.bench import Prepared


@pytest.fixture
def cpc():
    machine = Cpc("cpc1", clock=ManualClock(), max_adapter=63, max_domain=84)
    for number in (5, 6):
        adapter = machine.add_adapter(number, CardType.parse("CEX8C"))
        adapter.workers, adapter.firmware = Inline(), Prepared()
    machine.add_lpar(ActivationProfile("one", Matrix(Mask.of(5, 6), Mask.of(4, 7), Mask.of(4, 7))))
    machine.add_lpar(ActivationProfile("two", Matrix(Mask.of(5, 6), Mask.of(8), Mask.of(8))))
    yield machine
    machine.close()
