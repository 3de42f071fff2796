"""What every CountsSource promises about requests that the real telemetry printed."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from flagrank.adapters.control.cloudwatch_counts import CloudWatchCounts, series_id
from flagrank.adapters.emf_metrics import EmfMetrics
from flagrank.adapters.in_memory import (
    InlineExecutor,
    InMemoryFactorStore,
    InMemoryFlagSource,
    InMemoryJudgementQueue,
    InMemoryScoreCache,
    ManualClock,
)
from flagrank.delivery.analysis.counts import ArmCounts, Arms, CountsSource
from flagrank.delivery.analysis.measures import COUNTS, SLOWER, USERS
from flagrank.domain import Arm, Diagnostics, Mode, Reason, Recommendation, RerankTally, Usage, UserKind, Versions
from flagrank.errors import BaselineFailed, CloudError
from flagrank.local.counts import LocalCounts
from flagrank.local.gateway import create_app
from flagrank.local.observed import Observed
from flagrank.local.pool import Pool
from flagrank.metric_names import SERVICE, FeedbackMetric, MetricName
from flagrank.rerank.handoff import Handoff
from flagrank.serving.telemetry import Telemetry, measured
from tests.adapters.control.cloudwatch import CloudWatchOfLines
from tests.local.conftest import served

# a whole minute
BEGIN_S = 1_800_000_000 // 60 * 60
FALLBACKS_OF_CONTROL = series_id(Arm.CONTROL, MetricName.FALLBACK, "Sum")

type Answer = Callable[..., dict[str, Any]]
type OpenSource = Callable[[list[dict[str, Any]]], CountsSource]


@pytest.fixture(params=["local", "cloudwatch"])
def open_source(request: pytest.FixtureRequest) -> Iterator[OpenSource]:
    """A source of the requests behind these lines."""
    if request.param == "cloudwatch":

        def over_cloudwatch(lines: list[dict[str, Any]]) -> CountsSource:
            account = CloudWatchOfLines(lines)
            return CloudWatchCounts(account.cloudwatch, account.logs, "/aws/lambda/recommend")

        yield over_cloudwatch
        return
    observed = Observed()
    with served(create_app(Pool({}, 1, 1.0, lambda line: None), {}, observed)) as url:

        def over_http(lines: list[dict[str, Any]]) -> CountsSource:
            for line in lines:
                observed.take(line)
            return LocalCounts(int(url.rpartition(":")[2]))

        yield over_http


@pytest.fixture
def answer(capsys: pytest.CaptureFixture[str]) -> Answer:
    """Answers a request at a second after BEGIN_S, and returns the line that was printed about it."""

    def print_one(
        second: float,
        user: int,
        arm: Arm = Arm.TREATMENT,
        *,
        mode: Mode = Mode.HYBRID_RERANK,
        reason: Reason = Reason.SPLIT,
        assignment: Reason = Reason.SPLIT,
        total_ms: float = 50.0,
        stale: bool = False,
        **usage: int,
    ) -> dict[str, Any]:
        attempted = arm is Arm.TREATMENT
        diagnostics = Diagnostics(
            UserKind.KNOWN,
            {"total": total_ms, "rerank": 1.0},
            RerankTally(Usage(**usage)),
            rerank_attempted=attempted,
            assignment=assignment,
            flag_stale=stale,
        )
        served_as = mode if attempted else Mode.BASELINE
        told = Recommendation(user, (), served_as, arm, reason, Versions("v"), diagnostics)
        metadata = {"draw": str(user), "assignment": str(assignment), "reason": str(reason)}
        capsys.readouterr()
        EmfMetrics().emit(arm, {name: float(value) for name, value in measured(told).items()}, metadata)
        line: dict[str, Any] = json.loads(capsys.readouterr().out)
        line["_aws"]["Timestamp"] = int(1000 * (BEGIN_S + second))
        return line

    return print_one


def counted(arm: ArmCounts, *names: str) -> tuple[float, ...]:
    """The counts of these names."""
    return tuple(arm[name] for name in names)


def test_every_request_is_counted(open_source: OpenSource, answer: Answer) -> None:
    """By arm: errors, fallbacks, late calls by request, slow requests by threshold, cost."""
    lines = [
        answer(1, 1, total_ms=50.0, cost_micro_usd=300),
        answer(2, 1, total_ms=700.0, timeouts=3, parse_failures=2, cost_micro_usd=100),
        answer(3, 2, mode=Mode.FALLBACK_BASELINE, reason=Reason.TIMEOUT, total_ms=141.0, timeouts=1, stale=True),
        answer(61, 3, mode=Mode.FALLBACK_BASELINE, reason=Reason.UNKNOWN),
        answer(4, 4, Arm.CONTROL, total_ms=3.0),
        answer(70, 5, Arm.CONTROL, total_ms=12.0),
    ]
    arms = open_source(lines).read(BEGIN_S, BEGIN_S + 120)
    treatment = arms.treatment
    slower = dict(zip(SLOWER.rungs, SLOWER.of(treatment), strict=True))
    assert counted(treatment, "requests", "users", "attempted") == (4, 3, 4)
    assert counted(treatment, "errors", "fallbacks", "timeouts", "malformed", "stale") == (1, 2, 2, 1, 1)
    assert (slower[40], slower[80], slower[113], slower[160], slower[640], slower[905]) == (4, 2, 2, 1, 1, 0)
    assert treatment["cost_micro_usd"] == 400
    # never below the truth
    assert 300**2 + 100**2 <= treatment["cost_micro_usd_squared"] <= 300 * 400
    assert counted(arms.control, "requests", "users", "attempted", "fallbacks", "slower_10") == (2, 2, 0, 0, 1)
    # counts are whole numbers in JSON, and amounts are not
    assert {name for name, count in treatment.items() if isinstance(count, float)} == {
        "cost_micro_usd",
        "cost_micro_usd_squared",
    }


def test_every_count_of_the_table_is_counted(open_source: OpenSource) -> None:
    """A line that has every metric counts once for each of them, whichever measures the table has."""
    metrics = {metric for count in COUNTS for metric in count.metrics}
    line: dict[str, Any] = {
        "_aws": {"Timestamp": 1000 * BEGIN_S},
        "service": SERVICE,
        "arm": Arm.TREATMENT,
        "draw": "00000001",
        "assignment": Reason.SPLIT,
        **{metric: [1.0] for metric in metrics},
    }
    treatment = open_source([line]).read(BEGIN_S, BEGIN_S + 60).treatment
    below_a_rung = {count.name for count in COUNTS if count.above is not None and count.above >= 1}
    expected = {count.name: len(count.metrics) for count in COUNTS if count.name not in below_a_rung}
    assert treatment == ArmCounts(**expected | {USERS.name: 1})


def test_a_request_without_an_answer_is_an_error(
    open_source: OpenSource, answer: Answer, capsys: pytest.CaptureFixture[str]
) -> None:
    """It counts in its arm beside those that failed for an unknown reason, and its user counts too."""
    answered = answer(1, 1, reason=Reason.UNKNOWN)
    failure = BaselineFailed(2, Arm.TREATMENT, Reason.SPLIT)
    clock = ManualClock()
    handoff = Handoff(InMemoryScoreCache(clock), InMemoryJudgementQueue(), clock, InlineExecutor())
    Telemetry(EmfMetrics(), InMemoryFactorStore(), InMemoryFlagSource(), handoff).record_failure(failure)
    failed = json.loads(capsys.readouterr().out)
    failed["_aws"]["Timestamp"] = int(1000 * (BEGIN_S + 2))
    treatment = open_source([answered, failed]).read(BEGIN_S, BEGIN_S + 60).treatment
    assert counted(treatment, "requests", "errors", "users") == (2, 2, 2)


def test_only_the_asked_time_counts(open_source: OpenSource, answer: Answer) -> None:
    """The first moment is included and the last is not, in whole minutes."""
    lines = [answer(second, second) for second in (0, 59, 60, 119, 120)]
    source = open_source(lines)
    assert source.read(BEGIN_S + 60, BEGIN_S + 120).treatment.requests == 2
    assert source.read(BEGIN_S, BEGIN_S + 300).treatment.requests == 5


def test_no_traffic_is_zeros(open_source: OpenSource) -> None:
    """No traffic is no failure."""
    assert open_source([]).read(BEGIN_S, BEGIN_S + 60) == Arms(ArmCounts(), ArmCounts())


def test_a_user_counts_once_and_a_listed_user_not_at_all(open_source: OpenSource, answer: Answer) -> None:
    """Only the split of users is judged, and lists are no split. The requests of listed users count all the same."""
    lines = [
        *(answer(second, 1) for second in range(5)),
        answer(6, 2, assignment=Reason.ALLOW, reason=Reason.ALLOW),
        answer(7, 3, Arm.CONTROL, assignment=Reason.DENY, reason=Reason.DENY),
        answer(8, 4, Arm.CONTROL),
    ]
    arms = open_source(lines).read(BEGIN_S, BEGIN_S + 60)
    assert (arms.treatment.users, arms.control.users) == (1, 1)
    assert (arms.treatment.requests, arms.control.requests) == (6, 2)


@pytest.mark.parametrize("status", ["InternalError", "PartialData", "Forbidden"])
def test_counts_that_cloudwatch_does_not_have_are_no_zeros(answer: Answer, status: str) -> None:
    """A metric without a complete answer raises an error, and does not count as zero."""
    account = CloudWatchOfLines([answer(1, 1)], {FALLBACKS_OF_CONTROL: [status]})
    with pytest.raises(CloudError, match=status):
        CloudWatchCounts(account.cloudwatch, account.logs, "recommend").read(BEGIN_S, BEGIN_S + 60)


def test_an_answer_may_take_several_pages(answer: Answer) -> None:
    """Only the last page of an answer has to be complete."""
    account = CloudWatchOfLines([answer(1, 1)], {FALLBACKS_OF_CONTROL: ["PartialData", "InternalError", "Complete"]})
    arms = CloudWatchCounts(account.cloudwatch, account.logs, "recommend").read(BEGIN_S, BEGIN_S + 60)
    assert arms.treatment.requests == 1


def test_clicks_are_what_callers_publish(open_source: OpenSource, answer: Answer) -> None:
    """Both metrics are read by arm if they exist, with the same dimensions as the function's own."""
    published = [
        {
            "_aws": {"Timestamp": 1000 * (BEGIN_S + 1)},
            "service": SERVICE,
            "arm": arm,
            FeedbackMetric.SHOWN: [shown],
            FeedbackMetric.CLICKED: [clicked],
        }
        for arm, shown, clicked in ((Arm.TREATMENT, 40.0, 3.0), (Arm.CONTROL, 60.0, 7.0), (Arm.CONTROL, 20.0, 1.0))
    ]
    arms = open_source([answer(1, 1), *published]).read(BEGIN_S, BEGIN_S + 60)
    assert counted(arms.treatment, "shown", "clicked") == (40, 3)
    assert counted(arms.control, "shown", "clicked") == (80, 8)
