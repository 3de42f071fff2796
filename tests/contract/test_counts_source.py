"""What every FiguresSource promises, of requests that the real function answered and printed."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from flagrank.adapters.control.cloudwatch_counts import CloudWatchFigures
from flagrank.adapters.emf_metrics import EmfMetrics
from flagrank.adapters.in_memory import InMemoryFactorStore, InMemoryFlagSource
from flagrank.delivery.analysis.counts import LATENCY_LADDER_MS, ArmFigures, Arms, FiguresSource
from flagrank.domain import Arm, Diagnostics, Mode, Reason, Recommendation, RerankTally, Usage, UserKind, Versions
from flagrank.errors import BaselineFailed, CloudError
from flagrank.local.counts import LocalFigures
from flagrank.local.gateway import create_app
from flagrank.local.observed import Observed
from flagrank.local.pool import Pool
from flagrank.metric_names import SERVICE, FeedbackMetric
from flagrank.serving.telemetry import Telemetry, measured
from tests.adapters.control.cloudwatch import CloudWatchOfLines
from tests.local.conftest import served

# a whole minute
BEGIN_S = 1_800_000_000 // 60 * 60

type Answer = Callable[..., dict[str, Any]]
type OpenSource = Callable[[list[dict[str, Any]]], FiguresSource]


@pytest.fixture(params=["local", "cloudwatch"])
def open_source(request: pytest.FixtureRequest) -> Iterator[OpenSource]:
    """A source of the requests behind these lines."""
    if request.param == "cloudwatch":

        def over_cloudwatch(lines: list[dict[str, Any]]) -> FiguresSource:
            account = CloudWatchOfLines(lines)
            return CloudWatchFigures(account.cloudwatch, account.logs, "/aws/lambda/recommend")

        yield over_cloudwatch
        return
    observed = Observed()
    with served(create_app(Pool({}, 1, 1.0, lambda line: None), {}, observed)) as url:

        def over_http(lines: list[dict[str, Any]]) -> FiguresSource:
            for line in lines:
                observed.take(line)
            return LocalFigures(int(url.rpartition(":")[2]))

        yield over_http


@pytest.fixture
def answer(capsys: pytest.CaptureFixture[str]) -> Answer:
    """Answers a request at a second of the story, and gives the line that was printed of it."""

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
        metadata = {"user_id": str(user), "assignment": str(assignment), "reason": str(reason)}
        capsys.readouterr()
        EmfMetrics().emit(arm, {name: float(value) for name, value in measured(told).items()}, metadata)
        line: dict[str, Any] = json.loads(capsys.readouterr().out)
        line["_aws"]["Timestamp"] = int(1000 * (BEGIN_S + second))
        return line

    return print_one


def test_every_figure_is_counted(open_source: OpenSource, answer: Answer) -> None:
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
    slower = dict(zip(LATENCY_LADDER_MS, treatment.slower, strict=True))
    assert (treatment.requests, treatment.users, treatment.attempted) == (4, 3, 4)
    assert (treatment.errors, treatment.fallbacks, treatment.timeouts, treatment.stale) == (1, 2, 2, 1)
    assert treatment.malformed == 1
    assert (slower[40], slower[80], slower[113], slower[160], slower[640], slower[905]) == (4, 2, 2, 1, 1, 0)
    assert treatment.cost_micro_usd == 400
    # never below the truth
    assert 300**2 + 100**2 <= treatment.cost_micro_usd_squared <= 300 * 400
    control = arms.control
    assert (control.requests, control.users, control.attempted, control.fallbacks) == (2, 2, 0, 0)
    assert dict(zip(LATENCY_LADDER_MS, control.slower, strict=True))[10] == 1


def test_a_request_without_an_answer_is_an_error(
    open_source: OpenSource, answer: Answer, capsys: pytest.CaptureFixture[str]
) -> None:
    """It counts in its arm beside those that failed for an unknown reason, and so does who asked."""
    answered = answer(1, 1, reason=Reason.UNKNOWN)
    failure = BaselineFailed(2, Arm.TREATMENT, Reason.SPLIT)
    Telemetry(EmfMetrics(), InMemoryFactorStore(), InMemoryFlagSource()).record_failure(failure)
    failed = json.loads(capsys.readouterr().out)
    failed["_aws"]["Timestamp"] = int(1000 * (BEGIN_S + 2))
    treatment = open_source([answered, failed]).read(BEGIN_S, BEGIN_S + 60).treatment
    assert (treatment.requests, treatment.errors, treatment.users) == (2, 2, 2)


def test_only_the_asked_time_counts(open_source: OpenSource, answer: Answer) -> None:
    """From the first moment on, up to but not with the last; in whole minutes."""
    lines = [answer(second, second) for second in (0, 59, 60, 119, 120)]
    source = open_source(lines)
    assert source.read(BEGIN_S + 60, BEGIN_S + 120).treatment.requests == 2
    assert source.read(BEGIN_S, BEGIN_S + 300).treatment.requests == 5


def test_no_traffic_is_zeros(open_source: OpenSource) -> None:
    """And not a failure."""
    assert open_source([]).read(BEGIN_S, BEGIN_S + 60) == Arms(ArmFigures(), ArmFigures())


def test_a_user_counts_once_and_who_is_listed_not_at_all(open_source: OpenSource, answer: Answer) -> None:
    """The split of users is judged, and lists are no split; their requests count all the same."""
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
def test_figures_that_cloudwatch_does_not_have_are_not_noughts(answer: Answer, status: str) -> None:
    """A metric without an answer is nobody's pass: the reader hears that nobody knows."""
    account = CloudWatchOfLines([answer(1, 1)], {"control_fallbacks": [status]})
    with pytest.raises(CloudError, match=status):
        CloudWatchFigures(account.cloudwatch, account.logs, "recommend").read(BEGIN_S, BEGIN_S + 60)


def test_an_answer_may_take_several_pages(answer: Answer) -> None:
    """Only its last page has to be complete."""
    account = CloudWatchOfLines([answer(1, 1)], {"control_fallbacks": ["PartialData", "InternalError", "Complete"]})
    arms = CloudWatchFigures(account.cloudwatch, account.logs, "recommend").read(BEGIN_S, BEGIN_S + 60)
    assert arms.treatment.requests == 1


def test_clicks_are_what_callers_publish(answer: Answer) -> None:
    """Both metrics are read by arm where they exist, with the dimensions that the function's own have."""
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
    account = CloudWatchOfLines([answer(1, 1), *published])
    arms = CloudWatchFigures(account.cloudwatch, account.logs, "recommend").read(BEGIN_S, BEGIN_S + 60)
    assert (arms.treatment.shown, arms.treatment.clicked) == (40, 3)
    assert (arms.control.shown, arms.control.clicked) == (80, 8)
