"""Limits on the command line."""

import inspect

from flagrank.cli.limits import limited, limits_document, limits_summary
from flagrank.delivery.analysis.limits import Limits
from flagrank.delivery.analysis.measures import MEASURES, Limit, Metric


def given(**values: float | None) -> Limits:
    """The limits of a command whose options have these values."""
    received: list[Limits] = []

    @limited
    def command(limits: Limits) -> None:
        received.append(limits)

    usual = {
        measure.option.name: measure.option.value(measure.limit) for measure in MEASURES if measure.option is not None
    }
    command(**{**usual, **values})
    return received[0]


def test_the_options_stay() -> None:
    """Scripts name them: a release may add an option, and never take one away."""

    @limited
    def command(before: int, limits: Limits, after: int) -> None:
        pass

    options = inspect.signature(command).parameters
    first, *_, last = options
    assert (first, last) == ("before", "after")
    assert {name: option.default for name, option in options.items()}.items() >= {
        "max_extra_errors": "1",
        "max_extra_fallbacks": "5",
        "max_extra_latency_ms": "1810",
        "max_usd_per_thousand": "5",
        "max_lost_clicks": None,
    }.items()


def test_what_is_not_asked_for_is_usual() -> None:
    """Without an option the limits are the judge's own."""
    assert given() == Limits()


def test_an_option_sets_one_limit() -> None:
    """The rest of it, such as a ceiling, stays."""
    limits = given(max_extra_errors=0.03, max_lost_clicks=0.02)
    assert limits[Metric.ERRORS] == Limit(absolute=0.03, ceiling=0.05)
    assert limits[Metric.CLICKS] == Limit(absolute=0.02)
    assert given(max_usd_per_thousand=900.0)[Metric.COST] == Limit(ceiling=900.0)


def test_the_keys_of_the_document_stay() -> None:
    """Programs read these names: a release may add to them, and never take one away."""
    document = limits_document(Limits())
    assert document.keys() >= {
        "errors",
        "fallbacks",
        "timeouts",
        "malformed",
        "p95_ms",
        "cost_micro_usd",
        "clicks",
        "false_fail",
        "false_pass",
        "false_split",
        "steps",
        "min_requests",
    }
    assert document["p95_ms"] == {"absolute": 1810, "relative": 0.0, "ceiling": 3620, "floor": None}


def test_limits_are_told_in_their_units() -> None:
    """Shares in percent, costs in USD of a thousand requests, and what may be lost as such."""
    summary = limits_summary(Limits({Metric.CLICKS: Limit(absolute=0.02)}))
    assert "errors 1 % against control and 5 % in all" in summary
    assert "cost per 1,000 5 USD in all" in summary
    assert summary.endswith("clicks 2 % lost against control")
    assert "judged at least 85 %" in limits_summary(Limits({Metric.JUDGED: Limit(floor=0.85)}))
