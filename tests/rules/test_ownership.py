"""Ownership, limits and the filter, word by word as host.md says."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apmatrix.arch import ALL_BITS, Apqn, Configuration, Mask, Matrix, ResponseCode
from apmatrix.rules import handover, limits
from apmatrix.rules.access import Condition, HostState, verdicts
from apmatrix.rules.ownership import (
    ALL_RESERVED,
    BindObstacle,
    Masks,
    Ownership,
    bind_obstacle,
    newly_reserved,
    settled,
)
from support.strategies import small_masks, small_matrices

small_apqns = st.builds(Apqn, st.integers(0, 5), st.integers(0, 5))
masks = st.builds(Masks, small_masks, small_masks)


@given(masks, st.dictionaries(small_apqns, st.booleans(), max_size=6), small_matrices)
def test_BUS20_BUS66_host_queues(given_masks, overridden, matrix):
    ownership = Ownership(given_masks, overridden)
    expected = []
    for apqn in matrix.apqns():
        both_bits = apqn.adapter in given_masks.apmask and apqn.domain in given_masks.aqmask
        if overridden.get(apqn, both_bits):
            expected.append(apqn)
    assert ownership.host_queues(matrix) == tuple(expected)
    assert [apqn for apqn in matrix.apqns() if ownership.is_hosts(apqn)] == expected


@given(masks, masks)
def test_BUS34_every_domain_of_an_added_adapter_is_asked_for_whatever_the_other_mask_says(before, after):
    asked = set()
    for matrix in newly_reserved(before, after):
        asked |= {(apqn.adapter, apqn.domain) for apqn in (matrix & Matrix(Mask.up_to(7), Mask.up_to(7))).apqns()}
    added, domains = after.apmask - before.apmask, after.aqmask - before.aqmask
    assert asked == {(a, d) for a in range(8) for d in range(8) if a in added or d in domains}


def test_BUS34_narrowed_to_queues_that_really_move():
    before, after = Masks(Mask.of(1), Mask.of(4)), Masks(Mask.of(1, 2), Mask.of(4))
    assert list(newly_reserved(before, after, lambda other: other)) == [Matrix(Mask.of(2), Mask.of(4))]
    assert list(newly_reserved(before, after)) == [Matrix(Mask.of(2), ALL_BITS)]


@pytest.mark.parametrize(
    ("driver", "default", "override", "reserved", "obstacle"),
    [
        ("cex4queue", True, None, True, None),
        ("vfio_ap", False, None, False, None),
        ("vfio_ap", False, None, True, BindObstacle.RESERVED),
        ("cex4queue", True, None, False, BindObstacle.NOT_RESERVED),
        ("vfio_ap", False, "vfio_ap", True, None),
        ("cex4queue", True, "vfio_ap", True, BindObstacle.OVERRIDE),
        ("vfio_ap", False, "unknown", False, BindObstacle.OVERRIDE),
    ],
)
def test_BUS42_probe(driver, default, override, reserved, obstacle):
    assert bind_obstacle(driver, default=default, override=override, reserved=reserved) is obstacle


@pytest.mark.parametrize(
    ("driver", "override", "reserved", "stays"),
    [
        ("cex4queue", None, True, True),
        ("cex4queue", None, False, False),
        ("vfio_ap", None, True, False),
        ("vfio_ap", None, False, True),
        (None, None, True, True),  # BUS-41: the host never attaches an unbound queue of its own
        (None, None, False, False),
        ("vfio_ap", "vfio_ap", True, True),
        ("vfio_ap", "cex4queue", False, False),
        (None, "vfio_ap", True, False),
    ],
)
def test_BUS40_BUS41_settled(driver, override, reserved, stays):
    assert settled(driver, default=driver == "cex4queue", override=override, reserved=reserved) is stays


@pytest.mark.parametrize(
    ("info", "bus", "mdev"),
    [
        (Configuration(), (63, 15), (64, 16)),
        (Configuration(highest_adapter=200, highest_domain=84), (63, 15), (64, 16)),
        (Configuration(apxa=True, highest_adapter=200, highest_domain=84), (200, 84), (201, 85)),
        (Configuration(apxa=True), (63, 15), (1, 1)),  # only the bus takes 0 for "not reported"
    ],
)
def test_BUS4_MTX4_limits(info, bus, mdev):
    assert limits.of_bus(info) == bus
    found = limits.of_mdev(info)
    assert (len(found.apm), len(found.aqm), len(found.adm)) == (*mdev, mdev[1])


codes = st.sampled_from([None, *ResponseCode])


@given(small_matrices, small_matrices, st.dictionaries(small_apqns, codes))
def test_MTX50_MTX51_one_queue_that_is_not_passable_costs_its_adapter(assigned, host, bound):
    lost = Mask.of(*handover.obstacles(assigned, host, bound.get))
    guest = handover.usable(assigned, host, lost)
    passable = {ResponseCode(0), ResponseCode(3), ResponseCode(4)}
    adapters = []
    for adapter in assigned.apm & host.apm:
        row = [bound.get(Apqn(adapter, domain)) for domain in assigned.aqm & host.aqm]
        if all(code in passable for code in row):
            adapters.append(adapter)
    assert guest == Matrix(Mask.of(*adapters), assigned.aqm & host.aqm)


def failing(state: HostState[str], mdev: str, apqn: Apqn) -> list[Condition]:
    return [verdict.condition for verdict in verdicts(state, mdev, apqn) if not verdict.passes]


def test_the_question_names_what_decides():
    """One host: 05.0004 is free to hand on, 05.0006 is not bound, and that costs adapter 5."""
    queue, other = Apqn(5, 4), Apqn(5, 6)
    wish = Matrix(Mask.of(5), Mask.of(4, 6))
    drivers = {queue: "vfio_ap", other: None}
    state = HostState(wish, Masks(~Mask.of(5), ALL_BITS), drivers, {"mine": wish, "theirs": Matrix()})
    assert failing(state, "mine", queue) == [Condition.FILTER]
    filtered = list(verdicts(state, "mine", queue))[-1]
    assert [obstacle.apqn for obstacle in filtered.obstacles] == [other]
    assert failing(state, "theirs", other) == [Condition.BINDING, Condition.ASSIGNMENT, Condition.FILTER]
    assert [verdict.holder for verdict in verdicts(state, "theirs", other)] == [None, None, None, "mine", None]
    reserved = HostState(wish, ALL_RESERVED, drivers, {"mine": wish}, overrides={queue: "vfio_ap"})
    assert failing(reserved, "mine", queue) == [Condition.FILTER]
    assert failing(reserved, "mine", other)[0] is Condition.MASKS
