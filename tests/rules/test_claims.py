"""Claims on queues against a model that knows every single APQN (hardware.md 7.2, MTX-21b)."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from apmatrix.arch import Apqn, Mask, Matrix
from apmatrix.rules.claims import Claims, Conflict, conflicts
from apmatrix.rules.profiles import Beyond, objections
from support.strategies import matrices, small_matrices

steps = st.lists(st.tuples(st.sampled_from("abcd"), st.none() | small_matrices), max_size=12)


def shared(one: Matrix, other: Matrix) -> set[Apqn]:
    return set(one.apqns()) & set(other.apqns())


@given(steps, small_matrices, st.sampled_from("abcd"))
def test_MTX21_conflicts_are_every_pair_that_shares_an_apqn(changes, wanted, me):
    claims: Claims[str] = Claims()
    model: dict[str, Matrix] = {}
    for holder, matrix in changes:
        if matrix is None:
            if holder in model:
                claims.drop(holder)
                del model[holder]
        else:
            claims.set(holder, matrix)
            model[holder] = matrix
    expected = [(holder, shared(held, wanted)) for holder, held in model.items() if holder != me]
    found = [(conflict.holder, set(conflict.apqns)) for conflict in claims.conflicts(wanted, me)]
    assert found == [(holder, apqns) for holder, apqns in expected if apqns]
    assert dict(claims.items()) == model
    for apqn in Matrix(Mask.up_to(6), Mask.up_to(6)).apqns():
        owners: set[str | None] = {holder for holder, held in model.items() if apqn in held}
        assert claims.owner(apqn) in (owners or {None})


@given(matrices, matrices)
def test_a_conflict_is_a_product_in_ascending_order(one, other):
    (conflict,) = conflicts(one, [("x", other)]) or (Conflict("x", Matrix()),)
    assert conflict.apqns == tuple(sorted(set(one.apqns()) & set(other.apqns())))


def test_a_third_claim_conflicts_with_both_that_conflict_already():
    claims: Claims[str] = Claims()
    matrix = Matrix(Mask.of(5), Mask.of(4, 6))
    claims.set("first", matrix)
    claims.set("second", matrix)
    assert [conflict.holder for conflict in claims.conflicts(Matrix(Mask.of(5, 6), Mask.of(6)))] == [
        "first",
        "second",
    ]


def test_adapters_without_domains_claim_nothing():
    claims: Claims[str] = Claims()
    claims.set("only adapters", Matrix(Mask.up_to(255)))
    assert claims.conflicts(Matrix(Mask.up_to(255), Mask.up_to(255))) == []
    assert claims.of("only adapters") == Matrix(Mask.up_to(255))


def test_a_profile_meets_every_objection_at_once():
    """hardware.md 7.2: numbers that cannot exist, and each LPAR that has one of the queues."""
    highest = Matrix(Mask.up_to(63), Mask.up_to(15), Mask.up_to(15))
    others = [
        ("a", Matrix(Mask.of(1), Mask.of(1))),
        ("b", Matrix(Mask.of(9), Mask.of(1))),
        ("c", Matrix(Mask.of(2), Mask.of(1))),
    ]
    profile = Matrix(Mask.of(1, 2, 64), Mask.of(1))
    assert objections(profile, highest, others) == [
        Beyond(Matrix(Mask.of(64))),
        Conflict("a", Matrix(Mask.of(1), Mask.of(1))),
        Conflict("c", Matrix(Mask.of(2), Mask.of(1))),
    ]
