"""Activation profiles: who gets which queues, and edits while Linux is running."""

import pytest

from apmatrix.arch import EMPTY_MATRIX, Apqn, CardType, Mask, Matrix, ResponseCode
from apmatrix.cards import AdapterState
from apmatrix.machine import (
    ActivationProfile,
    AdapterRefused,
    LparActive,
    ProfileError,
    UnknownAdapter,
    UnknownFeature,
    UnknownLpar,
)

Q54, Q57, Q58 = Apqn(5, 4), Apqn(5, 7), Apqn(5, 8)


def matrix(adapters, domains, control=()):
    return Matrix(Mask.of(*adapters), Mask.of(*domains), Mask.of(*control))


def test_each_lpar_has_its_own_queues(cpc):
    one, two = (cpc.lpars[name].level for name in ("one", "two"))
    assert cpc.port(one, Q54).tapq()[0].ok
    assert cpc.port(two, Q54).tapq()[0].response_code is ResponseCode.NOT_AVAILABLE
    assert cpc.port(two, Q58).tapq()[0].ok
    assert cpc.qci(two).matrix == matrix((5, 6), (8,), (8,))


def test_a_profile_that_shares_a_queue_is_refused_by_name(cpc):
    with pytest.raises(ProfileError, match=r"05\.0007.*LPAR one") as refused:
        cpc.add_lpar(ActivationProfile("three", matrix((5, 9), (7, 9))))
    assert refused.value.holder == "one"
    assert refused.value.shared == matrix((5,), (7,))
    assert "three" not in cpc.lpars


@pytest.mark.parametrize("asked", [matrix((5, 6), (9,)), matrix((7,), (4, 7, 8)), matrix((), (4,), (4, 7))])
def test_the_same_adapter_or_the_same_domain_may_be_shared(cpc, asked):
    level = cpc.add_lpar(ActivationProfile("three", asked)).level
    assert level.effective == asked


@pytest.mark.parametrize("asked", [matrix((64,), (4,)), matrix((5,), (85,)), matrix((5,), (9,), (85,))])
def test_numbers_beyond_the_machine_are_refused(cpc, asked):
    with pytest.raises(ProfileError, match="adapters 0-63 and domains 0-84"):
        cpc.add_lpar(ActivationProfile("three", asked))
    with pytest.raises(ProfileError, match="adapters 0-63 and domains 0-84"):
        cpc.set_profile("two", asked)
    assert cpc.lpars["two"].level.effective == matrix((5, 6), (8,), (8,))


def test_an_edit_that_is_refused_changes_nothing(cpc):
    cpc.port(cpc.lpars["two"].level, Q58).nqap(1, b"request")
    with pytest.raises(ProfileError):
        cpc.set_profile("two", matrix((5,), (4,)))
    level = cpc.lpars["two"].level
    assert cpc.lpars["two"].profile.matrix == level.effective == matrix((5, 6), (8,), (8,))
    assert cpc.port(level, Q58).tapq()[0].replies_waiting


def test_an_edit_is_seen_at_the_next_instruction(cpc):
    level = cpc.lpars["one"].level
    cpc.set_profile("one", matrix((5,), (4, 9), (9,)))
    assert cpc.qci(level).matrix == matrix((5,), (4, 9), (9,))
    assert cpc.port(level, Apqn(5, 9)).tapq()[0].ok
    assert cpc.port(level, Apqn(6, 4)).tapq()[0].response_code is ResponseCode.NOT_AVAILABLE


def test_a_queue_that_leaves_is_zeroized_before_anybody_gets_it(cpc):
    one, two = (cpc.lpars[name].level for name in ("one", "two"))
    for queue in (Q54, Q57):
        assert cpc.port(one, queue).nqap(1, b"secret").ok
    cpc.set_profile("one", matrix((5, 6), (4,), (4,)))
    cpc.set_profile("two", matrix((5, 6), (7, 8), (8,)))
    assert cpc.port(two, Q57).tapq()[0].empty
    assert cpc.port(two, Q57).dqap(12288).status.response_code is ResponseCode.NO_PENDING_REPLY
    assert cpc.port(one, Q54).tapq()[0].replies_waiting


def test_removing_an_lpar_zeroizes_its_queues(cpc):
    one = cpc.lpars["one"].level
    cpc.port(one, Q54).nqap(1, b"secret")
    cpc.remove_lpar("one")
    assert one.effective == EMPTY_MATRIX
    again = cpc.add_lpar(ActivationProfile("again", matrix((5,), (4,)))).level
    assert cpc.port(again, Q54).tapq()[0].empty


def test_names_are_unique(cpc):
    with pytest.raises(LparActive, match="one"):
        cpc.add_lpar(ActivationProfile("one", matrix((7,), (9,))))


def test_an_lpar_that_is_not_active_is_refused_with_those_that_are(cpc):
    with pytest.raises(UnknownLpar, match="no LPAR three in cpc1: it has one, two"):
        cpc.set_profile("three", EMPTY_MATRIX)
    with pytest.raises(UnknownLpar, match="no LPAR three in cpc1: it has one, two"):
        cpc.remove_lpar("three")
    for name in ("one", "two"):
        cpc.remove_lpar(name)
    with pytest.raises(UnknownLpar, match="no LPAR one in cpc1: it has none"):
        cpc.remove_lpar("one")


def test_an_adapter_that_is_not_plugged_has_no_state(cpc):
    with pytest.raises(UnknownAdapter, match="no adapter 7 in cpc1: it has 5-6"):
        cpc.set_adapter_state(7, AdapterState.CHECKSTOPPED)


def test_adapter_numbers_are_unique_and_in_range(cpc):
    before = cpc.adapters[5]
    for number in (5, 64, -1):
        with pytest.raises(AdapterRefused, match=str(number)):
            cpc.add_adapter(number, CardType.parse("CEX8A"))
    assert cpc.adapters[5] is before
    assert set(cpc.adapters) == {5, 6}


def test_an_adapter_may_be_in_a_profile_before_it_is_plugged(cpc):
    level = cpc.add_lpar(ActivationProfile("three", matrix((9,), (4,)))).level
    assert cpc.port(level, Apqn(9, 4)).tapq()[0].response_code is ResponseCode.NOT_AVAILABLE
    assert not cpc.port(level, Apqn(9, 4)).tapq()[1].value
    cpc.add_adapter(9, CardType.parse("CEX8A"))
    assert cpc.port(level, Apqn(9, 4)).tapq()[0].ok


def test_unknown_features_are_refused(cpc):
    with pytest.raises(UnknownFeature, match="APSX"):
        cpc.set_features(["APSC", "APSX"])
    assert cpc.qci(cpc.lpars["one"].level).apsc
