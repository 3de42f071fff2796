"""The logarithm of the gamma function."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flagrank.delivery.analysis.log_gamma import log_gamma


@given(st.lists(st.floats(0.5, 1e10) | st.floats(0.5, 20), min_size=1))
def test_it_is_the_standard_librarys(values: list[float]) -> None:
    """On arrays as on single numbers, small and large."""
    expected = pytest.approx([math.lgamma(value) for value in values], rel=1e-13, abs=1e-13)
    assert log_gamma(np.array(values)).tolist() == expected
    assert [float(log_gamma(value)) for value in values] == expected


def test_it_keeps_the_shape() -> None:
    """A table stays a table."""
    assert log_gamma(np.ones((2, 3))).shape == (2, 3)
