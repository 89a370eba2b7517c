"""Isotonic regression against scikit-learn's."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.isotonic import isotonic_regression

from ghm_mmdet.method.isotonic import non_increasing

VALUES = st.floats(-30, 9).map(lambda power: 10**power)
REGIONS = st.lists(st.tuples(VALUES, st.booleans()), min_size=1, max_size=40).map(
    lambda regions: tuple(map(torch.tensor, zip(*regions)))
)


@given(REGIONS)
def test_the_known_values_are_fitted_as_by_scikit_learn(regions):
    values, known = regions
    fitted = non_increasing(values, known)
    assert (fitted[:-1] >= fitted[1:]).all()
    if known.any():
        oracle = isotonic_regression(values[known].double().numpy(), increasing=False)
        torch.testing.assert_close(
            fitted[known].double(), torch.from_numpy(oracle.copy()), rtol=1e-6, atol=0
        )


def test_what_is_unknown_is_fitted_as_the_next_known_one():
    known = torch.tensor([False, True, False, False, True, False])
    values = torch.tensor([torch.nan, 5.0, 1.0, 9.0, 2.0, 7.0])
    fitted = non_increasing(values, known)
    torch.testing.assert_close(fitted, torch.tensor([5.0, 5.0, 2.0, 2.0, 2.0, 2.0]))


@pytest.mark.parametrize('size', [1, 3])
def test_where_nothing_is_known_anything_fits(size):
    fitted = non_increasing(torch.ones(size), torch.zeros(size, dtype=torch.bool))
    assert (fitted == torch.inf).all()


def test_one_example_beside_many_millions_is_kept():
    values = torch.tensor([3e9, 1.0, 4.0, 1.0])
    fitted = non_increasing(values, torch.ones(4, dtype=torch.bool))
    torch.testing.assert_close(fitted, torch.tensor([3e9, 2.5, 2.5, 1.0]))
