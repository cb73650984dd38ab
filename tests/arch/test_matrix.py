import pytest
from hypothesis import given

from apmatrix.arch import EMPTY_MATRIX, FULL_MATRIX, Apqn, Mask, Matrix
from apmatrix.arch.matrix import listed, queues_named
from support.strategies import apqns, matrices, small_matrices


@given(apqns)
def test_an_apqn_prints_and_reads_in_hexadecimal(apqn):
    assert str(apqn) == f"{apqn.adapter:02x}.{apqn.domain:04x}"
    assert Apqn.parse(str(apqn)) == apqn
    assert Apqn.from_code(apqn.code) == apqn
    assert apqn.code == apqn.adapter * 256 + apqn.domain


@pytest.mark.parametrize(
    "text", ["", "05", "05.", ".0004", "100.0004", "05.0100", "0x05.0004", "05.0004.1", "g.1", "-5.1"]
)
def test_what_is_no_apqn_is_refused_by_name(text):
    with pytest.raises(ValueError, match="is not an APQN") as caught:
        Apqn.parse(text)
    assert repr(text) in str(caught.value)


@given(small_matrices)
def test_the_apqns_are_the_product_in_ascending_order(matrix):
    product = [(adapter, domain) for adapter in range(256) for domain in range(256)
               if adapter in matrix.apm and domain in matrix.aqm]  # fmt: skip
    assert list(matrix.apqns()) == product
    assert len(matrix) == len(product)
    assert all(apqn in matrix for apqn in product)


@given(matrices, apqns)
def test_membership_needs_both_bits(matrix, apqn):
    assert (apqn in matrix) == (apqn.adapter in matrix.apm and apqn.domain in matrix.aqm)


@given(matrices, matrices)
def test_and_narrows_every_mask_on_its_own(one, other):
    both = one & other
    assert (both.apm, both.aqm, both.adm) == (one.apm & other.apm, one.aqm & other.aqm, one.adm & other.adm)
    assert both <= one
    assert both <= other
    either = one | other
    assert (either.apm, either.aqm, either.adm) == (
        one.apm | other.apm,
        one.aqm | other.aqm,
        one.adm | other.adm,
    )
    assert one <= either


@given(matrices)
def test_full_and_empty_are_neutral(matrix):
    assert matrix & FULL_MATRIX == matrix
    assert matrix & EMPTY_MATRIX == EMPTY_MATRIX
    assert matrix | EMPTY_MATRIX == matrix
    assert EMPTY_MATRIX <= matrix <= FULL_MATRIX


@given(small_matrices, small_matrices)
def test_sharing_is_about_queues_not_masks(one, other):
    common = set(one.apqns()) & set(other.apqns())
    assert one.shares_queues(other) == bool(common)
    assert set(one.shared(other).apqns()) == common
    assert not one.shared(other).adm


def test_one_mask_too_many_is_not_contained():
    one = Matrix(Mask.of(5), Mask.of(4), Mask.of(3))
    assert one <= Matrix(Mask.of(5, 6), Mask.of(4), Mask.of(3))
    assert not one <= Matrix(Mask.of(6), Mask.of(4), Mask.of(3))
    assert not one <= Matrix(Mask.of(5), Mask.of(5), Mask.of(3))
    assert not one <= Matrix(Mask.of(5), Mask.of(4), Mask.of(4))


def test_overlapping_adapters_alone_share_no_queue():
    assert not Matrix(Mask.of(5), Mask.of(4)).shares_queues(Matrix(Mask.of(5), Mask.of(6)))
    assert not Matrix(Mask.of(5), Mask.of(4)).shares_queues(Matrix(Mask.of(6), Mask.of(4)))
    assert not Matrix(adm=Mask.of(4)).shares_queues(Matrix(adm=Mask.of(4)))


def test_the_description_names_what_is_missing():
    assert (
        Matrix(Mask.of(5, 6), Mask.of(4, 171)).describe() == "adapters 5-6, usage domains 4,171, control domains none"
    )


def test_listed_shows_six_and_counts_the_rest():
    apqns = [Apqn(5, domain) for domain in range(9)]
    assert listed(apqns[:2]) == "05.0000, 05.0001"
    assert listed(apqns[:6]).endswith("05.0005")
    assert listed(apqns) == "05.0000, 05.0001, 05.0002, 05.0003, 05.0004, 05.0005 and 3 more"
    assert listed([]) == ""


def test_queues_are_named_in_singular_and_plural():
    apqns = [Apqn(5, domain) for domain in range(5)]
    assert queues_named(apqns[:1]) == "queue 05.0000"
    assert queues_named(apqns[:2]) == "queues 05.0000, 05.0001"
    assert queues_named(apqns) == "queues 05.0000, 05.0001, 05.0002 and 2 more"


@pytest.mark.parametrize("text", ["05.00044", "005.0004", "5.", ".4", "5.0100", "+5.4", "5.4.4", "5.0x4"])
def test_text_that_is_longer_than_an_apqn_or_outside_is_none(text):
    with pytest.raises(ValueError, match="is not an APQN"):
        Apqn.parse(text)
