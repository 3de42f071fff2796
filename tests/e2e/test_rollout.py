"""What a rollout promises, shown on eight environments under load: `uv run pytest -m rollout`.

Not part of the other tests, since it takes minutes and its figures are times. The local cloud's AppConfig has pollers
wait one second where AppConfig has them wait 15, and its minutes, which a rise bakes five of, last a fifth of a second:
only the kill switch is shown on the real interval.
"""

import json
import signal
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from flagrank.local.cloud import LOCAL_FLAG, LocalCloud
from flagrank.metrics import Metric
from flagrank.rollout import FLAG_POLL_S, bucket, decide
from tests.e2e.conftest import StartCloud, command
from tests.e2e.load import Answer, Load

pytestmark = [pytest.mark.rollout, pytest.mark.slow, pytest.mark.timeout(200)]

ENVIRONMENTS = 8
COMPRESSED_POLL_S = 1
COMPRESSED: dict[str, Any] = {"flag_poll_s": COMPRESSED_POLL_S, "minute_s": 0.2}
AWAY_S = 6
# few enough for each to be seen at each step: the arms are compared only where users are split as asked
USERS = 1500
# budgets for a model of 350 ms on a machine that also carries the load and the cloud
FLAG = LOCAL_FLAG.model_copy(
    update={"percent": 5.0, "request_budget_ms": 3000, "call_budget_ms": 2000, "daily_usd_cap": 1000.0}
)
WELL = {"latency_ms": 350.0, "ms_per_token": 0.0, "malformed": 0.0}
# an unreadable answer is asked for once more, which doubles the latency: the limit lies between that and three times
FAULTS: dict[str, dict[str, float]] = {
    "malformed": {"malformed": 0.2},
    "p95": {"latency_ms": 1050.0},
    "fallbacks: throttled": {"throttled": 1.0},
    "fallbacks: hanging": {"hang": 1.0},
    "cost": {"billed": 5.0},
}
LIMITS = ["--max-extra-errors", "4", "--max-extra-latency-ms", "890", "--max-usd-per-thousand", "1"]
PACE = ["--bake", "3s", "--every", "1s", "--patience", "120s"]


def behave(cloud: LocalCloud, behaviour: dict[str, float]) -> None:
    """Changes how the LLM is, from now on."""
    httpx.put(cloud.endpoint("bedrock") + "/_behaviour", json=behaviour).raise_for_status()


def begin(cloud: LocalCloud, *arguments: str) -> subprocess.Popen[str]:
    """A `flagrank rollout` command at work."""
    return subprocess.Popen(
        command(cloud, *arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def end(running: subprocess.Popen[str], timeout_s: float) -> tuple[int, dict[str, Any], str]:
    """Its exit code, JSON and standard error."""
    said, told = running.communicate(timeout=timeout_s)
    return running.returncode, json.loads(said), told


def run(cloud: LocalCloud, *arguments: str) -> dict[str, Any]:
    """What a command says that succeeds at once."""
    code, said, told = end(begin(cloud, *arguments), 60)
    assert code == 0, told
    return said


def await_percent(cloud: LocalCloud, percent: float, timeout_s: float) -> None:
    """Returns once that share is deployed."""
    control, end_s = cloud.flag_control(), time.monotonic() + timeout_s
    while time.monotonic() < end_s:
        document = control.deployed().document
        if document is not None and document.percent == percent:
            return
        time.sleep(0.2)
    raise AssertionError(f"{percent} % was never deployed")


def shares(cloud: LocalCloud) -> Iterator[float]:
    """The shares of all deployments, oldest first."""
    control = cloud.flag_control()
    for entry in reversed(control.history(99)):
        document = control.document(entry.version)
        yield document.percent if document.enabled else 0.0


def test_the_kill_switch_reaches_everybody_within_the_poll_interval(start_cloud: StartCloud) -> None:
    """From `off` to the last treated request at most 15 s and 1, as `status` said before; no request fails."""
    cloud = start_cloud(FLAG.model_copy(update={"percent": 50.0}), behaviour=WELL, environments=ENVIRONMENTS)
    promised_s = run(cloud, "status")["worst_case_flip_s"]
    assert promised_s == FLAG_POLL_S
    with Load(cloud.url) as load:
        time.sleep(3)
        assert {answer.arm for answer in load.answers} == {"treatment", "control"}
        said_s = time.monotonic()
        killing = begin(cloud, "off", "--reason", "test")
        time.sleep(promised_s + 4)
        assert end(killing, 60)[0] == 0
    treated = [answer.asked_s - said_s for answer in load.since(said_s) if answer.arm == "treatment"]
    after = load.since(said_s + promised_s + 1)
    print(f"last treated request {max(treated):.1f} s after `off`; {len(load.answers)} requests, {len(after)} after it")
    assert load.statuses() == {200}
    assert max(treated) <= promised_s + 1
    assert {answer.arm for answer in after} == {"control"}


def settled(cloud: LocalCloud, load: Load) -> Iterator[tuple[float, Answer]]:
    """Every answer with the share that was in force, those around a flip left out."""
    control, to_epoch_s = cloud.flag_control(), time.time() - time.monotonic()
    deployments = [(entry.started_at_s, control.document(entry.version)) for entry in control.history(99)]
    for answer in load.answers:
        asked_s, answered_s = answer.asked_s + to_epoch_s, answer.answered_s + to_epoch_s
        in_force = next(entry for entry in deployments if entry[0] <= answered_s)
        if asked_s > in_force[0] + COMPRESSED_POLL_S + 1:
            yield in_force[1].percent * in_force[1].enabled, answer


def test_a_healthy_ramp_reaches_the_top_and_takes_nobody_back(start_cloud: StartCloud) -> None:
    """By itself, though it is killed on the way: the same command goes on, and no request fails.

    Who is treated at a share is treated at every higher one, on the way up and on the way down.
    """
    cloud = start_cloud(
        FLAG.model_copy(update={"enabled": False, "percent": 0.0}),
        behaviour={**WELL, "latency_ms": 20.0},
        environments=ENVIRONMENTS,
        **COMPRESSED,
    )
    ramp = ("ramp", "1,5,25,50,100", "--no-shadow", *PACE, *LIMITS)
    first = [user for user in range(1, USERS + 1) if bucket(FLAG.salt, user) < 100]
    with Load(cloud.url, users=USERS, eager=first) as load:
        climbing = begin(cloud, *ramp)
        await_percent(cloud, 5.0, 150)
        climbing.send_signal(signal.SIGINT)
        code, said, _ = end(climbing, 30)
        assert (code, said["ending"], said["document"]["percent"]) == (1, "interrupted", 5.0)
        code, said, told = end(begin(cloud, *ramp), 150)
        assert (code, said["ending"]) == (0, "done"), told
        assert list(shares(cloud))[1:] == [1.0, 5.0, 25.0, 50.0, 100.0]
        for percent in (50.0, 25.0, 5.0, 1.0):
            document = FLAG.model_copy(update={"percent": percent})
            cloud.flag_control().deploy(document, actor="test", reason=f"percent {percent:g}")
            time.sleep(COMPRESSED_POLL_S + 2)
    assert load.statuses() == {200}
    treated_from: dict[int, float] = {}
    untreated_to: dict[int, float] = {}
    for percent, answer in settled(cloud, load):
        if answer.arm == "treatment":
            treated_from[answer.user] = min(percent, treated_from.get(answer.user, 100.0))
        else:
            untreated_to[answer.user] = max(percent, untreated_to.get(answer.user, 0.0))
    both = treated_from.keys() & untreated_to.keys()
    print(f"{len(load.answers)} requests, {len(both)} users seen in both arms, each on its side of one share")
    assert len(both) > 500
    assert all(untreated_to[user] < treated_from[user] for user in both)


def test_a_ramp_goes_on_after_appconfig_was_away(start_cloud: StartCloud) -> None:
    """Its process is frozen in mid-ramp and thawed: nobody's arm changes, no request fails, and the ramp climbs on."""
    cloud = start_cloud(
        FLAG.model_copy(update={"enabled": False}),
        behaviour={**WELL, "latency_ms": 20.0},
        environments=4,
        **COMPRESSED,
    )
    appconfig = cloud._stand_ins["appconfig"]._process
    with Load(cloud.url) as load:
        climbing = begin(cloud, "ramp", "50,75", "--no-shadow", *PACE, *LIMITS)
        await_percent(cloud, 50.0, 60)
        time.sleep(COMPRESSED_POLL_S + 1)
        gone_s = time.monotonic()
        appconfig.send_signal(signal.SIGSTOP)
        time.sleep(AWAY_S)
        back_s = time.monotonic()
        appconfig.send_signal(signal.SIGCONT)
        code, said, told = end(climbing, 90)
    assert (code, said["ending"]) == (0, "done"), told
    assert list(shares(cloud))[1:] == [50.0, 75.0]
    assert load.statuses() == {200}
    ramping = FLAG.model_copy(update={"percent": 50.0})
    meanwhile = [answer for answer in load.since(gone_s) if answer.answered_s < back_s]
    assert all(answer.arm == decide(ramping, answer.user).arm for answer in meanwhile)
    print(f"{len(meanwhile)} of {len(load.answers)} requests while AppConfig was away")
    assert {answer.arm for answer in meanwhile} == {"treatment", "control"}


def test_a_ramp_begins_in_shadow(start_cloud: StartCloud) -> None:
    """The LLM is asked for the treated share, the baseline is served, and what would have changed is in CloudWatch."""
    cloud = start_cloud(
        FLAG.model_copy(update={"enabled": False}),
        behaviour={**WELL, "latency_ms": 20.0},
        environments=ENVIRONMENTS,
        **COMPRESSED,
    )
    with Load(cloud.url) as load:
        climbing = begin(cloud, "ramp", "50", *PACE, *LIMITS)
        await_percent(cloud, 50.0, 60)
        time.sleep(COMPRESSED_POLL_S + 3)
        in_shadow = [*load.answers]
        code, said, told = end(climbing, 110)
    assert (code, said["ending"]) == (0, "done"), told
    assert list(shares(cloud)) == [0.0, 50.0, 50.0]
    assert {"treatment", "control"} == {answer.arm for answer in in_shadow}
    assert {answer.mode for answer in in_shadow} <= {"baseline", "cold_start"}
    assert "hybrid_rerank" in {answer.mode for answer in load.answers}
    assert load.statuses() == {200}
    recorded = {metric["MetricName"] for metric in cloud.client("cloudwatch").list_metrics()["Metrics"]}
    assert {Metric.SHADOW_CHANGED, Metric.SHADOW_OVERLAP, Metric.SHADOW_KENDALL_TAU} <= recorded


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_rolls_back_by_itself(start_cloud: StartCloud, fault: str) -> None:
    """At 25 percent the LLM goes bad: the ramp switches off, and says why and at whose cost; no answer is a 5xx."""
    cloud = start_cloud(FLAG, behaviour=WELL, environments=ENVIRONMENTS, **COMPRESSED)
    with Load(cloud.url) as load:
        climbing = begin(cloud, "ramp", "25,50,100", *PACE, *LIMITS)
        await_percent(cloud, 25.0, 60)
        behave(cloud, FAULTS[fault])
        bad_s = time.monotonic()
        code, said, told = end(climbing, 120)
        off_s = time.monotonic()
        time.sleep(COMPRESSED_POLL_S + 2)
    print(f"{fault}: off after {off_s - bad_s:.1f} s; {said['sentence']}")
    assert (code, said["ending"]) == (1, "failed"), told
    failed = {finding["figure"] for finding in said["look"]["findings"] if finding["outcome"] == "fail"}
    assert fault.partition(":")[0] in failed
    assert said["exposed_by_ramp"] >= said["exposed"] > 0
    assert said["document"] == {**json.loads(FLAG.model_dump_json(by_alias=True)), "percent": 25.0, "enabled": False}
    assert load.statuses() == {200}
    assert {answer.arm for answer in load.since(off_s + COMPRESSED_POLL_S + 1)} == {"control"}
