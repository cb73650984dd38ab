"""Random activation profiles: no queue belongs to two LPARs, and none changes hands with something in it."""

from __future__ import annotations

import itertools

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from apmatrix.arch import ApmatrixError, Apqn, CardType, Mask, Matrix
from apmatrix.cards import Inline, ManualClock
from apmatrix.machine import ActivationProfile, Cpc
from support.bench import Prepared

ADAPTERS, DOMAINS, NAMES = (1, 2, 9), (0, 3, 16), ("one", "two", "three")
masks = {
    numbers: st.sets(st.sampled_from(numbers)).map(lambda chosen: Mask.of(*chosen)) for numbers in (ADAPTERS, DOMAINS)
}
profiles = st.builds(Matrix, masks[ADAPTERS], masks[DOMAINS], masks[DOMAINS])


class LparMachine(RuleBasedStateMachine):
    """A machine whose LPARs come, go and are edited."""

    def __init__(self) -> None:
        super().__init__()
        self.cpc = Cpc("cpc", clock=ManualClock(), max_adapter=9, max_domain=15)
        for number in ADAPTERS[:2]:  # 9 is in profiles only
            adapter = self.cpc.add_adapter(number, CardType.parse("CEX8A"))
            adapter.workers, adapter.firmware = Inline(), Prepared()
        self.owners: dict[Apqn, str] = {}

    def teardown(self) -> None:
        self.cpc.close()

    def state(self) -> dict[str, tuple[Matrix, Matrix]]:
        return {name: (lpar.profile.matrix, lpar.level.effective) for name, lpar in self.cpc.lpars.items()}

    def refused(self, action, *arguments) -> None:
        """The action may be refused, and then nothing changed."""
        before, words = self.state(), self.words()
        try:
            action(*arguments)
        except ApmatrixError:
            assert self.state() == before
            assert self.words() == words

    def words(self) -> list[int]:
        return [queue.test().value for adapter in self.cpc.adapters.values() for queue in adapter.used_queues()]

    @rule(name=st.sampled_from(NAMES), matrix=profiles)
    def activate(self, name: str, matrix: Matrix) -> None:
        self.refused(self.cpc.add_lpar, ActivationProfile(name, matrix))

    @rule(name=st.sampled_from(NAMES), matrix=profiles)
    def edit(self, name: str, matrix: Matrix) -> None:
        self.refused(self.cpc.set_profile, name, matrix)

    @rule(name=st.sampled_from(NAMES))
    def deactivate(self, name: str) -> None:
        if name in self.cpc.lpars:
            self.cpc.remove_lpar(name)

    @rule()
    def use(self) -> None:
        """Every LPAR leaves replies in all its queues."""
        for lpar in self.cpc.lpars.values():
            for apqn in lpar.level.effective.apqns():
                self.cpc.port(lpar.level, apqn).nqap(1, b"request")

    @invariant()
    def no_queue_belongs_to_two(self) -> None:
        for one, other in itertools.combinations(self.cpc.lpars.values(), 2):
            assert not one.level.effective.shares_queues(other.level.effective)

    @invariant()
    def profiles_are_what_levels_have(self) -> None:
        for lpar in self.cpc.lpars.values():
            assert lpar.profile.matrix == lpar.level.effective <= self.cpc.highest

    @invariant()
    def queues_change_hands_empty(self) -> None:
        owners = {apqn: name for name, lpar in self.cpc.lpars.items() for apqn in lpar.level.effective.apqns()}
        for apqn, owner in self.owners.items():
            if owners.get(apqn) != owner and apqn.adapter in self.cpc.adapters:
                assert self.cpc.adapters[apqn.adapter].queue(apqn.domain).test().empty
        self.owners = owners


TestLpars = LparMachine.TestCase
TestLpars.settings = settings(max_examples=60, stateful_step_count=30)
