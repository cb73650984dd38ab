"""Hypothesis strategies for the values of the architecture."""

from hypothesis import strategies as st

from apmatrix.arch import Apqn, Mask, Matrix

numbers = st.integers(0, 255)
number_sets = st.frozensets(numbers, max_size=40)
# Sparse, dense and arbitrary masks: random 256-bit numbers alone would never be nearly empty or full.
masks = st.one_of(
    number_sets.map(lambda chosen: Mask.of(*chosen)),
    number_sets.map(lambda chosen: ~Mask.of(*chosen)),
    st.integers(0, (1 << 256) - 1).map(Mask),
)
matrices = st.builds(Matrix, masks, masks, masks)
small_masks = st.frozensets(st.integers(0, 5), max_size=4).map(lambda chosen: Mask.of(*chosen))
small_matrices = st.builds(Matrix, small_masks, small_masks, small_masks)
apqns = st.builds(Apqn, numbers, numbers)
