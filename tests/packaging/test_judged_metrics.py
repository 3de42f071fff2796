"""What a ramp is judged by is what alarms and dashboard look at once it has ended."""

from collections.abc import Iterable

import pytest

from flagrank.delivery.analysis.measures import COUNTS, LATENCY_LADDER_MS, MEASURES, Measure, Metric
from flagrank.delivery.analysis.quantities import Count
from flagrank.metric_names import MetricName
from tests.packaging.test_alarms import Named, alarmed, leaves, plotted, threshold

# alarms on the treated arm look at these, and the judge does not count them
ALARMED_ALONE = {
    MetricName.LLM_CALLS: "alarms on calls divide by them",
}
# the judge counts these, and they have no alarm or line on the dashboard
NOT_ALARMED = {
    MetricName.RERANK_APPLIED: "a request that is not judged gets the baseline: nobody is harmed",
    MetricName.RERANK_WARMING: "the same; JudgingBehind pages where it lasts",
}
NOT_PLOTTED: dict[MetricName, str] = {}


def emitted(counts: Iterable[Count]) -> set[str]:
    """The metrics of these counts that our code emits itself."""
    return {metric for count in counts for metric in count.metrics if isinstance(metric, MetricName)}


def treated(looked_at: Iterable[Named]) -> set[str]:
    """The names of metrics on the treated arm."""
    return {name for _, name, dimensions in looked_at if "arm=treatment" in dimensions}


def test_the_judge_counts_what_lowers_exposure() -> None:
    """Alarms that lower exposure name metrics of the table of measures, or of the list above."""
    assert treated(alarmed(leaves("RerankUnhealthy"))) - emitted(COUNTS) == set(ALARMED_ALONE)


@pytest.mark.parametrize("measure", MEASURES, ids=lambda measure: measure.metric)
def test_a_judged_measure_is_watched_after_the_ramp(measure: Measure) -> None:
    """Its metrics are in an alarm that lowers exposure and on the dashboard, or in the lists above."""
    metrics = emitted(measure.statistic.numerator.counts)
    assert metrics - treated(alarmed(leaves("RerankUnhealthy"))) <= set(NOT_ALARMED)
    assert metrics - treated(plotted()) <= set(NOT_PLOTTED)


@pytest.mark.parametrize(
    ("alarm", "metric"),
    [
        ("FallbackCeiling", Metric.FALLBACKS),
        ("FailureCeiling", Metric.ERRORS),
        ("UnknownFailureCeiling", Metric.ERRORS),
        ("CostCeiling", Metric.COST),
    ],
)
def test_an_alarm_allows_what_a_ramp_allows(alarm: str, metric: Metric) -> None:
    """Where both limit the same, the template's default is the table's ceiling."""
    (measure,) = (measure for measure in MEASURES if measure.metric is metric)
    assert measure.format.kept(threshold(alarm)) == measure.limit.ceiling


@pytest.mark.parametrize(("alarm", "part"), [("LatencyCeiling", "ceiling"), ("SlowerThanControl", "absolute")])
def test_an_alarm_allows_a_latency_that_a_ramp_allows(alarm: str, part: str) -> None:
    """The judge knows a p95 to a rung of the ladder: its limit is the rung above the alarm's."""
    (measure,) = (measure for measure in MEASURES if measure.metric is Metric.P95)
    assert getattr(measure.limit, part) == min(rung for rung in LATENCY_LADDER_MS if rung >= threshold(alarm))
