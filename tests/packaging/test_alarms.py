"""Alarms, dashboard and code name the same metrics, and the alarms ring when they should."""

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pytest

from flagrank.adapters.control import guard_emf
from flagrank.adapters.control.appconfig_deployments import GUARD_PATIENCE
from flagrank.adapters.emf_metrics import EmfMetrics
from flagrank.cli.cost import ALARM_METRICS, COMPOSITE_ALARMS
from flagrank.delivery.alarm import SETTLED_S
from flagrank.delivery.guard import AlarmResponse
from flagrank.domain import Arm
from flagrank.flags.document import FLAG_POLL_S, FlagDocument
from flagrank.metric_names import NAMESPACE, WARM_SERVICE, MetricName, SimilarMetric, WarmMetric
from flagrank.rerank.warming import WarmResult
from flagrank.rerank.worker import measured
from tests.packaging.stack_template import RESOURCES, ROOT, TEMPLATE
from tests.unit.delivery.guard_story import alarm

ALARMS = {name: entry["Properties"] for name, entry in RESOURCES.items() if entry["Type"] == "AWS::CloudWatch::Alarm"}
JUDGED = {name: entry for name, entry in ALARMS.items() if "Metrics" in entry}
COMPOSITES = {
    name: entry["Properties"] for name, entry in RESOURCES.items() if entry["Type"] == "AWS::CloudWatch::CompositeAlarm"
}
WIDGETS: list[dict[str, Any]] = json.loads(RESOURCES["Dashboard"]["Properties"]["DashboardBody"]["Sub"])["widgets"]
GRAPHS = {widget["properties"]["title"]: widget["properties"] for widget in WIDGETS if widget["type"] == "metric"}
RUNBOOK = (ROOT / "infra/runbook.md").read_text()
# how long `flagrank rollout` lets a rise bake, and how late a minute's data may be
BAKE_S = 300
DATA_ARE_LATE_S = 60
# metrics that AWS emits, and not our code
OF_AWS = {
    ("AWS/ApiGateway", "Count", ("ApiId",)),
    ("AWS/ApiGateway", "5xx", ("ApiId",)),
    ("AWS/Lambda", "Invocations", ("FunctionName", "Resource")),
    ("AWS/Lambda", "Errors", ("FunctionName", "Resource")),
    ("AWS/Lambda", "AsyncEventsDropped", ("FunctionName",)),
    ("AWS/SQS", "ApproximateAgeOfOldestMessage", ("QueueName",)),
    ("AWS/SQS", "ApproximateNumberOfMessagesVisible", ("QueueName",)),
}

type Named = tuple[str, str, tuple[str, ...]]


def emitted(lines: str) -> Iterator[Named]:
    """Namespace, name and dimensions of every metric in lines of EMF; of our own dimensions with their values."""
    for line in lines.splitlines():
        blob = json.loads(line)
        for directive in blob["_aws"]["CloudWatchMetrics"]:
            for names in directive["Dimensions"]:
                dimensions = tuple(sorted(f"{name}={blob[name]}" for name in names))
                for metric in directive["Metrics"]:
                    yield directive["Namespace"], metric["Name"], dimensions


def alarmed(names: Iterable[str] = tuple(ALARMS)) -> Iterator[Named]:
    """The metrics that these alarms look at."""
    for properties in (ALARMS[name] for name in names):
        stats = [entry["MetricStat"]["Metric"] for entry in properties.get("Metrics", []) if "MetricStat" in entry]
        for metric in stats or [properties]:
            yield named(
                metric["Namespace"], metric["MetricName"], {d["Name"]: d["Value"] for d in metric["Dimensions"]}
            )


def plotted() -> Iterator[Named]:
    """The metrics that widgets show."""
    for graph in GRAPHS.values():
        for row in graph["metrics"]:
            if isinstance(row[0], str):
                namespace, name, *dimensions, _ = row
                yield named(namespace, name, dict(zip(dimensions[::2], dimensions[1::2], strict=True)))


def named(namespace: str, name: str, dimensions: dict[str, Any]) -> Named:
    ours = namespace == NAMESPACE
    return namespace, name, tuple(sorted(f"{key}={value}" if ours else key for key, value in dimensions.items()))


def test_every_metric_that_is_looked_at_is_emitted(capsys: pytest.CaptureFixture[str]) -> None:
    """Alarms and dashboard name metrics and dimensions that the code prints. An alarm with a typo would never ring."""
    for arm in Arm:
        EmfMetrics().emit(arm, dict.fromkeys(MetricName, 1.0), {})
    EmfMetrics().emit(None, dict.fromkeys(SimilarMetric, 1.0), {})
    for lowered in (True, False):
        guard_emf.emit(alarm(0), AlarmResponse(lowered, 5.0, 0.0, "test"))
    EmfMetrics(WARM_SERVICE).emit(None, dict.fromkeys([*WarmMetric, *measured(WarmResult())], 1.0), {})
    known = OF_AWS | set(emitted(capsys.readouterr().out))
    assert set(alarmed()) - known == set()
    assert set(plotted()) - known == set()


def test_the_bill_counts_the_template_s_alarms() -> None:
    """`flagrank cost` prices each metric that a standard alarm reads, and each composite alarm."""
    alarms = [entry["Properties"] for entry in RESOURCES.values() if entry["Type"] == "AWS::CloudWatch::Alarm"]
    read = [sum("MetricStat" in metric for metric in alarm.get("Metrics", ())) or 1 for alarm in alarms]
    composite = [name for name, entry in RESOURCES.items() if entry["Type"] == "AWS::CloudWatch::CompositeAlarm"]
    assert (sum(read), len(composite)) == (ALARM_METRICS, COMPOSITE_ALARMS)


def test_every_alarm_forgives_silence() -> None:
    """Missing data is no reason to roll back: AppConfig and the guard would lower a flag that nobody uses."""
    assert {properties["TreatMissingData"] for properties in ALARMS.values()} == {"notBreaching"}


@pytest.mark.parametrize("name", JUDGED)
def test_an_alarm_wants_enough_requests_in_enough_periods(name: str) -> None:
    """It needs M of N periods, at least 20 requests or calls for a share and 200 for a p95, and has no FILL."""
    properties = JUDGED[name]
    assert 1 < properties["DatapointsToAlarm"] < properties["EvaluationPeriods"]
    judged, *metrics = properties["Metrics"]
    minima = [int(number) for number in re.findall(r">= (\d+)", judged["Expression"])]
    is_percentile = any(entry["MetricStat"]["Stat"].startswith("p") for entry in metrics)
    assert minima
    assert set(minima) == {200 if is_percentile else 20}
    assert "FILL" not in judged["Expression"]
    assert len({entry["MetricStat"]["Period"] for entry in metrics}) == 1
    assert identifiers(judged["Expression"]) == {entry["Id"] for entry in metrics}


def identifiers(expression: str) -> set[str]:
    """The metrics that an expression refers to; functions and operators are in capitals."""
    return set(re.findall(r"\b[a-z]\w*", expression))


def rings(name: str, **values: float) -> bool:
    """Whether a period with these values breaches. A metric that is not given was not reported."""
    judged, *metrics = JUDGED[name]["Metrics"]
    if {entry["Id"] for entry in metrics} - set(values):
        return False  # metric math gives no datapoint, and missing data do not breach
    expression = judged["Expression"].replace("IF(", "where(").replace(" AND ", " & ")
    with np.errstate(divide="ignore", invalid="ignore"):
        arrays = {key: np.float64(value) for key, value in values.items()}
        result = float(eval(expression, {"where": np.where}, arrays))
    return result > threshold(name)


def threshold(name: str) -> float:
    """What an alarm allows, by the template's defaults."""
    allowed = ALARMS[name]["Threshold"]
    return float(TEMPLATE["Parameters"][allowed["Ref"]]["Default"] if isinstance(allowed, dict) else allowed)


@pytest.mark.parametrize(
    ("name", "bad", "good"),
    [
        (
            "FallbackOverControl",
            {"treated": 100, "fallen": 25, "controls": 300, "fallen_control": 0},
            {"treated": 100, "fallen": 25, "controls": 300, "fallen_control": 60},
        ),
        (
            "SlowerThanControl",
            {"treated": 200, "latency": 1700, "controls": 900, "latency_control": 100},
            {"treated": 200, "latency": 1700, "controls": 900, "latency_control": 1000},
        ),
        ("FallbackCeiling", {"treated": 20, "fallen": 7}, {"treated": 19, "fallen": 19}),
        ("TimeoutCeiling", {"calls": 100, "late": 30}, {"calls": 100, "late": 1}),
        ("ParseFailureCeiling", {"calls": 100, "malformed": 20}, {"calls": 100, "malformed": 4}),
        ("ThrottledCeiling", {"calls": 100, "refused": 100}, {"calls": 0, "refused": 0}),
        (
            "RejectedCeiling",
            {"treated": 20, "calls": 2, "rejected": 2},
            {"treated": 100, "calls": 50, "rejected": 49},
        ),
        ("LatencyCeiling", {"treated": 200, "latency": 3500}, {"treated": 199, "latency": 9000}),
        ("CostCeiling", {"treated": 100, "spent": 600_000}, {"treated": 100, "spent": 100_000}),
        ("UnknownFailureCeiling", {"treated": 100, "unknown": 6}, {"treated": 100, "unknown": 1}),
        ("FailureCeiling", {"treated": 20, "failed": 2}, {"treated": 19, "failed": 19}),
        ("HandoffFailing", {"sent": 10, "failed": 10}, {"sent": 0, "failed": 19}),
        ("ApiErrors", {"requests": 20, "failed": 2}, {"requests": 19, "failed": 19}),
        ("FunctionErrors", {"requests": 100, "failed": 10}, {"requests": 100, "failed": 1}),
        ("BaselineLatencyCeiling", {"controls": 200, "latency": 600}, {"controls": 200, "latency": 20}),
        ("FlagStaleControl", {"requests": 100, "stale": 60}, {"requests": 100, "stale": 10}),
        ("FlagStaleTreatment", {"requests": 100, "stale": 60}, {"requests": 5, "stale": 5}),
    ],
)
def test_an_alarm_tells_bad_from_good(name: str, bad: dict[str, float], good: dict[str, float]) -> None:
    """It rings for its own harm. It does not ring for few requests, or for a harm that control has as well."""
    assert (rings(name, **bad), rings(name, **good)) == (True, False)


def test_at_100_percent_the_ceilings_watch_alone() -> None:
    """A comparison is silent without a control, and the ceiling on the same metric rings."""
    assert not rings("FallbackOverControl", treated=100, fallen=90)
    assert rings("FallbackCeiling", treated=100, fallen=90)


def children(name: str) -> set[str]:
    """The alarms that can set a composite off."""
    return set(re.findall(r'ALARM\("\$\{(\w+)\}"\)', COMPOSITES[name]["AlarmRule"]["Sub"]))


def leaves(name: str) -> set[str]:
    return set().union(*(leaves(child) if child in COMPOSITES else {child} for child in children(name)))


def test_every_alarm_leads_somewhere() -> None:
    """Each alarm is part of what pages, and each alarm on the treated arm is part of what lowers exposure."""
    paging = {name for name, entry in {**COMPOSITES, **ALARMS}.items() if "AlarmActions" in entry}
    assert set().union(*(leaves(name) if name in COMPOSITES else {name} for name in paging)) == set(ALARMS)
    assert leaves("RerankUnhealthy") == leaves("TreatmentWorse") | leaves("TreatmentOverCeiling")
    assert {name for name in ALARMS if "Ceiling" in name or "Control" in name} - leaves("RerankUnhealthy") == {
        "BaselineLatencyCeiling",
        "FlagStaleControl",
    }


def test_the_guard_hears_the_composite_and_nothing_else() -> None:
    """One incident is one event, however many metrics it spoils."""
    guard = RESOURCES["GuardFunction"]["Properties"]
    rules = [event["Properties"] for event in guard["Events"].values() if event["Type"] == "EventBridgeRule"]
    assert [rule["Pattern"]["resources"] for rule in rules] == [[{"GetAtt": "RerankUnhealthy.Arn"}]]
    assert guard["Environment"]["Variables"]["FLAGRANK_ALARM"] == {"Ref": "RerankUnhealthy"}


def test_the_guard_looks_again_once_old_data_are_gone() -> None:
    """An alarm that is still on counts only against a deployment older than all the data that the alarm looks at."""
    windows = [
        properties["EvaluationPeriods"] * max(entry["MetricStat"]["Period"] for entry in properties["Metrics"][1:])
        for name, properties in JUDGED.items()
        if name in leaves("RerankUnhealthy")
    ]
    assert max(windows) <= SETTLED_S


def test_appconfig_watches_an_alarm_that_the_guard_can_blind() -> None:
    """AppConfig allows five monitors. Ours triggers nothing itself, and its role reads composite alarms."""
    monitors = RESOURCES["FlagEnvironment"]["Properties"]["Monitors"]
    assert [monitor["AlarmArn"] for monitor in monitors] == [{"GetAtt": "FlagMonitor.Arn"}]
    assert children("FlagMonitor") == {"RerankUnhealthy"}
    assert "AlarmActions" not in COMPOSITES["FlagMonitor"]
    (policy,) = RESOURCES["FlagMonitorRole"]["Properties"]["Policies"]
    (statement,) = policy["PolicyDocument"]["Statement"]
    assert (statement["Action"], statement["Resource"]) == ("cloudwatch:DescribeAlarms", "*")
    variables = RESOURCES["GuardFunction"]["Properties"]["Environment"]["Variables"]
    assert variables["FLAGRANK_MONITOR_ALARM"] == {"Ref": "FlagMonitor"}


def test_alarms_on_shares_ring_within_the_bake_of_a_rise() -> None:
    """AppConfig watches for the five minutes that a rise bakes. A p95 takes longer, so the guard answers it."""
    reaction_s = {
        name: JUDGED[name]["DatapointsToAlarm"] * JUDGED[name]["Metrics"][1]["MetricStat"]["Period"]
        for name in leaves("RerankUnhealthy")
    }
    assert {name for name, seconds in reaction_s.items() if seconds + FLAG_POLL_S + DATA_ARE_LATE_S > BAKE_S} == {
        "SlowerThanControl",
        "LatencyCeiling",
    }


def test_what_appconfig_watches_never_lacks_data() -> None:
    """AppConfig rolls back on INSUFFICIENT_DATA too. A composite has it only before its first evaluation."""
    assert RESOURCES["FlagMonitor"]["Type"] == "AWS::CloudWatch::CompositeAlarm"
    assert "INSUFFICIENT_DATA" not in json.dumps({name: entry["AlarmRule"] for name, entry in COMPOSITES.items()})


def test_the_guard_ends_before_its_function_does() -> None:
    """Its function's timeout leaves time after its patience for a slow call to AWS and for arming the monitor."""
    assert RESOURCES["GuardFunction"]["Properties"]["Timeout"] >= GUARD_PATIENCE.total_s + 100


def test_a_healthy_rerank_has_room_for_its_budget() -> None:
    """A request that uses up the default budget of the flag is not too slow for the default alarm."""
    allowed = TEMPLATE["Parameters"]["MaxExtraLatencyMs"]["Default"]
    assert FlagDocument().request_budget_ms <= allowed < TEMPLATE["Parameters"]["MaxLatencyMs"]["Default"]


@pytest.mark.parametrize("title", GRAPHS)
def test_a_graph_refers_to_its_own_lines(title: str) -> None:
    """Ids are unique, and expressions use only ids of their graph. Otherwise CloudWatch shows an empty graph."""
    rows = GRAPHS[title]["metrics"]
    ids = [row[-1]["id"] for row in rows]
    assert len(set(ids)) == len(ids)
    for row in rows:
        assert identifiers(row[-1].get("expression", "")) <= set(ids)


@pytest.mark.parametrize("title", GRAPHS)
def test_every_graph_shows_the_flag(title: str) -> None:
    """Each graph has the treated share, so that a flip is seen beside its effect."""
    (share,) = (row[-1] for row in GRAPHS[title]["metrics"] if row[-1]["id"] == "share")
    assert share["yAxis"] == "right"


def test_the_dashboard_shows_what_was_promised() -> None:
    """Latency, cache, parse failures, timeouts, applied reranks and cost, and the versions that were served."""
    labels = {row[-1]["label"] for graph in GRAPHS.values() for row in graph["metrics"] if "label" in row[-1]}
    promised = {f"{rank} {arm}" for rank in ("p95", "p99") for arm in Arm}
    promised |= {"hit", "parse failure", "timeout", "applied", "warming", "guard lowered exposure"}
    assert promised | {"similar", "similar, no answer"} <= labels
    assert {row[-1].get("label") for row in GRAPHS["Cost per 1,000 requests"]["metrics"]} >= set(Arm)
    (table,) = (widget["properties"] for widget in WIDGETS if widget["type"] == "log")
    assert "${RecommendLogs}" in table["query"]


def test_what_pages_is_in_the_runbook() -> None:
    """Each of the six alarms that page has its section with one command, and the runbook is one page."""
    paging = {
        name for name, entry in {**COMPOSITES, **ALARMS}.items() if entry.get("AlarmActions") == [{"Ref": "Pages"}]
    }
    sections = dict(re.findall(r"^## (\w+)$(.*?)(?=^## |\Z)", RUNBOOK, re.MULTILINE | re.DOTALL))
    assert set(sections) == paging
    assert len(paging) == 6
    assert {name: len(re.findall(r"^    \S", text, re.MULTILINE)) for name, text in sections.items()} == dict.fromkeys(
        paging, 1
    )
    assert len(RUNBOOK.splitlines()) <= 60
