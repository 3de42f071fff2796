"""The table of what a rollout is judged by."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flagrank.delivery.analysis.formats import MILLISECONDS, PERCENT, USD_PER_THOUSAND, Format
from flagrank.delivery.analysis.measures import COUNTS, MEASURES, Measure, Metric
from flagrank.domain import Arm, Diagnostics, Mode, Reason, Recommendation, RerankTally, UserKind, Versions
from flagrank.metric_names import FeedbackMetric, MetricName
from flagrank.serving.telemetry import measured


def test_every_metric_has_one_row() -> None:
    """But for the two that are no measures."""
    assert [Metric.REQUESTS, Metric.SPLIT, *(measure.metric for measure in MEASURES)] == list(Metric)


def test_names_are_unique() -> None:
    """Of counts, of limits and of options: each is a key somewhere."""
    for names in (
        [count.name for count in COUNTS],
        [measure.limit_name for measure in MEASURES],
        [measure.option.name for measure in MEASURES if measure.option],
    ):
        assert len(set(names)) == len(names)


def test_every_counted_metric_is_emitted() -> None:
    """By the telemetry of a request that was answered or not, or by whoever publishes clicks."""
    diagnostics = Diagnostics(UserKind.KNOWN, {"total": 1.0}, RerankTally(), rerank_attempted=False)
    answer = Recommendation(1, (), Mode.BASELINE, Arm.CONTROL, Reason.SPLIT, Versions("v"), diagnostics)
    emitted = {*measured(answer), MetricName.FAILURE, MetricName.COLD_START, *FeedbackMetric}
    assert {metric for count in COUNTS for metric in count.metrics} <= emitted


@pytest.mark.parametrize("measure", MEASURES, ids=lambda measure: measure.metric)
def test_an_option_sets_its_part_of_the_limit(measure: Measure) -> None:
    """And no other."""
    if measure.option is not None:
        limit = measure.option.applied(measure.limit, 0.25)
        assert measure.option.value(limit) == 0.25
        assert measure.option.applied(limit, measure.option.value(measure.limit)) == measure.limit


@given(st.sampled_from([PERCENT, MILLISECONDS, USD_PER_THOUSAND]), st.integers(0, 10_000))
def test_an_amount_is_read_as_it_was_written(written: Format, hundredths: int) -> None:
    """What somebody types is kept in another unit, and shown again as it was typed."""
    assert written.number(written.kept(hundredths / 100)) == f"{hundredths / 100:g}"


@pytest.mark.parametrize(
    ("written", "amount", "rounded", "exact"),
    [
        (PERCENT, 0.0525, "5.2 %", "5.25 %"),
        (MILLISECONDS, 1810.4, "1810 ms", "1810.4 ms"),
        (USD_PER_THOUSAND, 400.0, "0.4 USD", "0.4 USD"),
    ],
)
def test_amounts_have_their_unit(written: Format, amount: float, rounded: str, exact: str) -> None:
    """Observed amounts are rounded, limits are not."""
    assert (written.rounded(amount), written.exact(amount)) == (rounded, exact)
