"""Evidence that stays valid at every look."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flagrank.delivery.analysis.eprocess import Evidence, Loss, bounds, split_p_value
from flagrank.delivery.analysis.means import ABOVE_FROM, MeanExcess, Moments
from flagrank.delivery.analysis.proportions import Proportion, ProportionExcess
from flagrank.delivery.analysis.quantiles import QuantileExcess

RATES = st.sampled_from([0.0, 0.01, 0.2, 0.5, 0.97, 1.0])
TRIALS = st.integers(0, 3000)
SLOPES = st.sampled_from([0.5, 1.0, 1.7])
LADDER = np.array([10.0, 20.0, 40.0, 80.0])
# the log of ten trillion to one
CERTAIN = 30.0


PROPORTIONS = st.builds(lambda trials, rate: Proportion(round(trials * rate), trials), TRIALS, RATES)
MOMENTS = st.builds(
    lambda count, mean, spread: Moments(count, count * mean, count * mean**2 * spread),
    TRIALS,
    st.sampled_from([0.0, 3.0, 400.0]),
    st.sampled_from([1.0, 2.0, 30.0]),
)
# how many of the trials are slower than each rung
QUANTILES = st.builds(
    lambda trials, shares: Proportion(np.floor(trials * np.array(sorted(shares, reverse=True))), np.array([trials])),
    TRIALS,
    st.lists(st.floats(0, 1), min_size=len(LADDER), max_size=len(LADDER)),
)
EVIDENCES: st.SearchStrategy[Evidence] = st.one_of(
    st.builds(ProportionExcess, PROPORTIONS, st.none() | PROPORTIONS, SLOPES),
    st.builds(MeanExcess, MOMENTS, st.none() | MOMENTS, SLOPES),
    st.builds(Loss, st.builds(ProportionExcess, PROPORTIONS, PROPORTIONS, SLOPES)),
    st.builds(QuantileExcess, st.just(LADDER), st.just(0.05), QUANTILES, st.none() | QUANTILES, SLOPES),
)


def chances(trials: int, rate: float) -> list[float]:
    """The chance of each number of successes."""
    return [math.comb(trials, k) * rate**k * (1 - rate) ** (trials - k) for k in range(trials + 1)]


@pytest.mark.parametrize(("treated", "controls"), [(0.1, 0.1), (0.3, 0.4), (0.02, 0.0), (0.5, 0.45)])
def test_within_the_limit_evidence_is_not_expected_to_grow(treated: float, controls: float) -> None:
    """The e-value's mean over all outcomes of two arms that keep to the limit is at most one."""
    n, m, limit = 14, 9, max(treated - controls, 0.0)
    expected = sum(
        p * q * math.exp(float(ProportionExcess(Proportion(k, n), Proportion(j, m)).above(limit)))
        for k, p in enumerate(chances(n, treated))
        for j, q in enumerate(chances(m, controls))
        if p * q
    )
    assert expected <= 1 + 1e-9


@given(treatment=PROPORTIONS, control=PROPORTIONS, slope=SLOPES, limit=st.floats(-0.4, 0.9))
def test_the_likeliest_state_is_found(treatment: Proportion, control: Proportion, slope: float, limit: float) -> None:
    """No state on a fine grid within the limit explains the counts better than the one that the evidence is against."""

    def log_likelihood(share: Proportion, rate: np.ndarray) -> np.ndarray:
        with np.errstate(divide="ignore", invalid="ignore"):
            won = np.where(share.successes == 0, 0.0, share.successes * np.log(rate))
            lost = np.subtract(share.trials, share.successes)
            return won + np.where(lost == 0, 0.0, lost * np.log(1 - rate))

    def log_marginal(share: Proportion) -> float:
        won, lost = float(share.successes) + 0.5, float(share.trials - share.successes) + 0.5
        return math.lgamma(won) + math.lgamma(lost) - math.lgamma(won + lost) - math.log(math.pi)

    controls = np.linspace(0, 1, 400)[None, :]
    treated = np.linspace(0, 1, 401)[:, None]
    states = log_likelihood(treatment, treated) + log_likelihood(control, controls)
    inside = treated <= slope * controls + limit
    evidence = float(ProportionExcess(treatment, control, slope).above(limit))
    if inside.any():
        at_most = log_marginal(treatment) + log_marginal(control) - states[inside].max()
        assert evidence <= at_most + 1e-6


@given(evidence=EVIDENCES, limits=st.lists(st.floats(-100, 100), min_size=2, max_size=6))
def test_a_higher_limit_is_harder_to_be_above(evidence: Evidence, limits: list[float]) -> None:
    """Positive evidence above never rises with the limit, and positive evidence below never falls."""
    for finer in (1.0, 100.0):
        ordered = np.array(sorted(limits)) / finer
        above, below = np.maximum(evidence.above(ordered), 0.0), np.maximum(evidence.below(ordered), 0.0)
        assert (above[1:] <= above[:-1] + 1e-6).all()
        assert (below[1:] >= below[:-1] - 1e-6).all()


@given(evidence=EVIDENCES, limit=st.floats(-50, 50))
def test_nothing_is_both_above_and_below(evidence: Evidence, limit: float) -> None:
    """There is never evidence for both sides of one limit."""
    assert min(float(evidence.above(limit)), float(evidence.below(limit))) <= 1e-6


@given(treatment=PROPORTIONS, control=PROPORTIONS, limit=st.floats(-1, 1))
def test_arms_are_treated_alike(treatment: Proportion, control: Proportion, limit: float) -> None:
    """The evidence that treatment is above control is the evidence that control is below treatment."""
    forth = float(ProportionExcess(treatment, control).above(limit))
    back = float(ProportionExcess(control, treatment).below(-limit))
    # rounding alone distinguishes an excess of nearly one from an impossible one
    assert min(forth, CERTAIN) == pytest.approx(min(back, CERTAIN), rel=1e-6, abs=1e-6)


@given(treatment=PROPORTIONS, control=PROPORTIONS, slope=SLOPES, limit=st.floats(-1, 1))
def test_a_loss_is_a_rise_of_the_rest(treatment: Proportion, control: Proportion, slope: float, limit: float) -> None:
    """The evidence that clicks are lost is the evidence that lists without a click become more."""

    def rest(arm: Proportion) -> Proportion:
        return Proportion(arm.trials - arm.successes, arm.trials)

    lost = float(Loss(ProportionExcess(treatment, control, slope)).above(limit))
    risen = float(ProportionExcess(rest(treatment), rest(control), slope).above(limit + 1 - slope))
    assert min(lost, CERTAIN) == pytest.approx(min(risen, CERTAIN), rel=1e-6, abs=1e-6)


@given(evidence=EVIDENCES)
def test_bounds_hold_what_is_not_rejected(evidence: Evidence) -> None:
    """A limit just outside the bounds is rejected, unless the bound is the end of the span."""
    low, high = bounds(evidence, (-90.0, 90.0), 3.0, 3.0)
    assert low == -90 or float(evidence.above(low)) >= 3.0
    assert high == 90 or float(evidence.below(high)) >= 3.0
    assert low <= high


def test_without_data_nothing_is_known() -> None:
    """Without counts there is no evidence on either side of any limit."""
    nothing, none = Proportion(0, 0), Moments(0, 0.0, 0.0)
    for evidence in (
        ProportionExcess(nothing),
        ProportionExcess(nothing, nothing),
        MeanExcess(none),
        MeanExcess(none, none),
    ):
        for limit in (-0.5, 0.0, 0.5):
            assert float(evidence.above(limit)) <= 1e-9
            assert float(evidence.below(limit)) <= 1e-9


def test_huge_counts_stay_exact_enough() -> None:
    """With a billion requests in each arm, equal shares are no evidence, and a thousandth more is proof."""
    n = 1_000_000_000
    same, more = Proportion(n // 50, n), Proportion(n // 50 + n // 1000, n)
    assert float(ProportionExcess(same, same).above(0.0)) < 0
    assert 1e4 < float(ProportionExcess(more, same).above(0.0)) < math.inf


@settings(max_examples=50)
@given(count=st.integers(1, 400))
def test_equal_costs_are_no_proof(count: int) -> None:
    """Two arms whose every request costs the same do not differ, and a few requests prove nothing."""
    arm = Moments(count, count * 0.1, count * 0.01)
    assert float(MeanExcess(arm, arm).above(0.0)) <= 1e-9
    if count < ABOVE_FROM:
        assert float(MeanExcess(arm).above(0.0)) == 0.0


@given(treatment=MOMENTS, control=MOMENTS, scale=st.sampled_from([0.001, 7.0, 1e6]))
def test_the_unit_of_cost_does_not_matter(treatment: Moments, control: Moments, scale: float) -> None:
    """Costs and limit in another currency are the same evidence."""

    def scaled(arm: Moments) -> Moments:
        return Moments(arm.count, arm.total * scale, arm.squares * scale**2)

    known = float(MeanExcess(treatment, control).above(10.0))
    assert float(MeanExcess(scaled(treatment), scaled(control)).above(10.0 * scale)) == pytest.approx(known, rel=1e-4)


def test_a_quantile_is_bracketed_by_rungs() -> None:
    """With a tenth above 20 ms and none above 40 ms the p95 lies between the two, and so does the excess."""
    n = 10_000.0
    slow, fast = np.array([n, n / 10, 0.0, 0.0]), np.zeros(4)
    treatment, control = Proportion(slow, np.full(4, n)), Proportion(fast, np.full(4, n))
    alone = QuantileExcess(LADDER, 0.05, treatment)
    assert bounds(alone, (0.0, 80.0), 3.0, 3.0) == pytest.approx((20.0, 40.0))
    both = QuantileExcess(LADDER, 0.05, treatment, control)
    assert bounds(both, (-80.0, 80.0), 3.0, 3.0) == pytest.approx((10.0, 40.0))


@pytest.mark.parametrize(("z", "p_value"), [(1.959964, 0.05), (3.290527, 0.001)])
def test_the_split_is_judged_by_chi_square(z: float, p_value: float) -> None:
    """A split that is z standard deviations off, in either direction, has the p-value of the tables."""
    n, share = 40_000, 0.2
    off = z * math.sqrt(n * share * (1 - share))
    assert split_p_value(n * share + off, n * (1 - share) - off, share) == pytest.approx(p_value, rel=1e-4)
    assert split_p_value(n * share - off, n * (1 - share) + off, share) == pytest.approx(p_value, rel=1e-4)


def test_a_handful_of_users_is_no_split() -> None:
    """Chi-square does not hold where fewer than five are expected, so such a split is never wrong."""
    assert split_p_value(4, 0, 0.01) == 1.0
