"""The logarithm of the gamma function on arrays. numpy has none, and scipy is too large for a Lambda."""

import numpy as np
import numpy.typing as npt

SHIFT = 8
# Stirling's series in 1 / x^2 (Abramowitz, Stegun 1964, 6.1.41): from SHIFT on, what is left out is below 1e-15
SERIES = (1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360, 1 / 156)
HALF_LOG_TWO_PI = 0.9189385332046727


def log_gamma(x: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """ln(gamma(x)), elementwise, for x >= 0.5. The error is below 1e-14 of the larger of 1 and the result."""
    values = np.atleast_1d(np.asarray(x, np.float64))
    is_small = values < SHIFT
    far = values + SHIFT * is_small
    inverse_square = 1 / far**2
    series = np.full_like(far, SERIES[-1])
    for coefficient in SERIES[-2::-1]:
        series *= inverse_square
        series += coefficient
    result = (far - 0.5) * np.log(far) - far + HALF_LOG_TWO_PI + series / far
    if is_small.any():
        # gamma(x + 8) = gamma(x) x (x + 1) ... (x + 7): small values were computed where the series is exact
        factors = values[is_small][:, None] + np.arange(SHIFT)
        result[is_small] -= np.log(factors.prod(axis=1))
    return result.reshape(np.shape(x))
