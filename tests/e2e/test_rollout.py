"""What a rollout promises, shown on eight environments under load: `uv run pytest -m rollout`.

Not part of the other tests, since it takes minutes and its figures are times. The local cloud's AppConfig has pollers
wait one second where AppConfig has them wait 15, and its minutes, which a rise bakes five of, last a fifth of a second:
only the kill switch is shown on the real interval.
"""

import json
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from flagrank.delivery.change_record import ChangeRecord
from flagrank.delivery.deployments import Deployment
from flagrank.flags.assignment import bucket, decide
from flagrank.flags.document import FLAG_POLL_S, FlagDocument
from flagrank.local.cloud import LOCAL_FLAG, LocalCloud
from flagrank.metric_names import MetricName
from flagrank.rerank.breaker import PROBE_AFTER_S
from tests.e2e.conftest import StartCloud, command
from tests.e2e.load import Answer, Load

pytestmark = [pytest.mark.rollout, pytest.mark.slow, pytest.mark.timeout(280)]

ENVIRONMENTS = 8
COMPRESSED_POLL_S = 1
COMPRESSED: dict[str, Any] = {"flag_poll_s": COMPRESSED_POLL_S, "minute_s": 0.2}
# how long after a flip an answer may still be of the arm before it: the poll, and what is under way
FLIPPED_S = COMPRESSED_POLL_S + 1
AWAY_S = 4
# few enough for each to be seen at each step: the arms are compared only where users are split as asked
USERS = 1500
# budgets for a model of 350 ms on a machine that also carries the load and the cloud
FLAG = LOCAL_FLAG.model_copy(
    update={"percent": 5.0, "request_budget_ms": 3000, "call_budget_ms": 2000, "daily_usd_cap": 1000.0}
)
OFF = FLAG.model_copy(update={"enabled": False})
# two calls a request where the others have six: so a step has enough requests to be told in seconds
SHORT_HEAD = FLAG.model_copy(update={"enabled": False, "percent": 0.0, "top_m": 20})
QUICK_MS, SLOW_MS = 20.0, 350.0
WELL = {
    "ms_per_input_token": 0.0,
    "ms_per_output_token": 0.0,
    "malformed": 0.0,
    "throttled": 0.0,
    "hang": 0.0,
    "billed": 1.0,
}
# by the figure that must fail: the latency of a good answer in ms, and what goes wrong
FAULTS: dict[str, tuple[float, dict[str, float]]] = {
    "malformed": (QUICK_MS, {"malformed": 0.2}),
    "p95": (SLOW_MS, {"latency_ms": 3 * SLOW_MS}),
    "cost": (QUICK_MS, {"billed": 5.0}),
    "fallbacks: throttled": (QUICK_MS, {"throttled": 1.0}),
    "fallbacks: hanging": (QUICK_MS, {"hang": 1.0}),
}
LIMITS = ["--max-extra-errors", "4", "--max-extra-latency-ms", "800", "--max-usd-per-thousand", "0.5"]
PACE = ["--bake", "3s", "--every", "1s", "--patience", "120s"]
CLIMB = ["ramp", "1,5,25,50,100", *PACE, *LIMITS]


@pytest.fixture(scope="module")
def account(synthetic_artifacts: Path) -> Iterator[LocalCloud]:
    """A cloud whose flag everybody here has to themselves for a while, one after another."""
    with LocalCloud(synthetic_artifacts, SHORT_HEAD, WELL, environments=ENVIRONMENTS, **COMPRESSED) as running:
        yield running


def behave(cloud: LocalCloud, behaviour: dict[str, float]) -> None:
    """Changes how the LLM is, from now on."""
    httpx.put(cloud.endpoint("bedrock") + "/_behaviour", json=behaviour).raise_for_status()


@contextmanager
def begin(cloud: LocalCloud, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A `flagrank rollout` command at work, which does not outlive the block."""
    with subprocess.Popen(
        command(cloud, *arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as running:
        try:
            yield running
        finally:
            running.kill()


def end(running: subprocess.Popen[str], timeout_s: float) -> tuple[int, dict[str, Any], str]:
    """Its exit code, JSON and standard error."""
    said, told = running.communicate(timeout=timeout_s)
    return running.returncode, json.loads(said), told


def run(cloud: LocalCloud, *arguments: str) -> dict[str, Any]:
    """What a command says that succeeds at once."""
    with begin(cloud, *arguments) as running:
        code, said, told = end(running, 60)
    assert code == 0, told
    return said


def await_step(cloud: LocalCloud, percent: float, timeout_s: float = 90) -> None:
    """Returns once that share is deployed."""
    control, end_s = cloud.flag_control(), time.monotonic() + timeout_s
    while time.monotonic() < end_s:
        document = control.deployed().document
        if document is not None and document.enabled and document.percent == percent:
            return
        time.sleep(0.2)
    raise AssertionError(f"{percent:g} % was never deployed")


def test_the_kill_switch_reaches_everybody_within_the_poll_interval(start_cloud: StartCloud) -> None:
    """From `off` to the last treated request at most 15 s and 1, as `status` said before; no request fails."""
    document = FLAG.model_copy(update={"percent": 50.0})
    cloud = start_cloud(document, behaviour={**WELL, "latency_ms": SLOW_MS}, environments=ENVIRONMENTS)
    promised_s = run(cloud, "status")["worst_case_flip_s"]
    assert promised_s == FLAG_POLL_S
    with Load(cloud.url) as load:
        time.sleep(2)
        assert {answer.arm for answer in load.answers} == {"treatment", "control"}
        said_s = time.monotonic()
        run(cloud, "off", "--reason", "test")
        time.sleep(said_s + promised_s + 2 - time.monotonic())
    treated = [answer.asked_s - said_s for answer in load.since(said_s) if answer.arm == "treatment"]
    after = load.since(said_s + promised_s + 1)
    print(f"last treated request {max(treated):.1f} s after `off`; {len(load.answers)} requests, {len(after)} after it")
    assert load.statuses() == {200}
    assert max(treated) <= promised_s + 1
    assert {answer.arm for answer in after} == {"control"}


@dataclass(frozen=True, slots=True)
class Climb:
    """A ramp that was interrupted at 5 %, had no AppConfig for a while at 50 %, and came down again by hand.

    Moments in seconds on the monotonic clock; deployments oldest first.
    """

    load: Load
    interrupted: tuple[int, dict[str, Any]]
    done: tuple[int, dict[str, Any]]
    away_s: tuple[float, float]
    deployments: Sequence[tuple[Deployment, FlagDocument]]

    def settled(self) -> Iterator[tuple[FlagDocument, Answer]]:
        """Every answer with the document that was in force, those around a flip left out."""
        to_epoch_s = time.time() - time.monotonic()
        for answer in self.load.answers:
            asked_s, answered_s = answer.asked_s + to_epoch_s, answer.answered_s + to_epoch_s
            begun = [pair for pair in self.deployments if pair[0].started_at_s <= answered_s]
            if begun and asked_s > begun[-1][0].started_at_s + FLIPPED_S:
                yield begun[-1][1], answer


@pytest.fixture(scope="module")
def climb(account: LocalCloud) -> Climb:
    """Nobody steers it but for starting it again."""
    behave(account, {"latency_ms": QUICK_MS})
    appconfig = account._stand_ins["appconfig"]._process
    # the first percent is some fifteen users, who would be too few to tell anything soon
    eager = [user for user in range(1, USERS + 1) if bucket(FLAG.salt, user) < 100]
    with begin(account, *CLIMB) as climbing, Load(account.url, users=USERS, eager=eager) as load:
        await_step(account, 5.0)
        climbing.send_signal(signal.SIGINT)
        interrupted = end(climbing, 30)
        with begin(account, *CLIMB) as climbing:
            await_step(account, 50.0)
            time.sleep(FLIPPED_S)
            gone_s = time.monotonic()
            appconfig.send_signal(signal.SIGSTOP)
            time.sleep(AWAY_S)
            back_s = time.monotonic()
            appconfig.send_signal(signal.SIGCONT)
            done = end(climbing, 90)
        control = account.flag_control()
        for percent in (25.0, 5.0, 1.0):
            document = SHORT_HEAD.model_copy(update={"enabled": True, "percent": percent})
            control.deploy(document, ChangeRecord("test", f"percent {percent:g}"))
            time.sleep(FLIPPED_S + 0.5)
    deployments = [(entry, control.document(entry.version)) for entry in reversed(control.history(99))]
    return Climb(load, interrupted[:2], done[:2], (gone_s, back_s), deployments)


def test_a_healthy_ramp_reaches_the_top(climb: Climb) -> None:
    """By itself, step after step, and no request fails."""
    code, said = climb.done
    assert (code, said["ending"]) == (0, "done"), said["sentence"]
    ascent = [(document.mode, document.percent) for _, document in climb.deployments if document.enabled][:-3]
    assert ascent == [("shadow", 1.0), *(("serve", percent) for percent in (1.0, 5.0, 25.0, 50.0, 100.0))]
    assert climb.load.statuses() == {200}


def test_an_interrupted_ramp_leaves_its_step_in_force(climb: Climb) -> None:
    """And says so; the same command goes on from there."""
    code, said = climb.interrupted
    assert (code, said["ending"], said["document"]["percent"]) == (130, "interrupted", 5.0)


def test_a_ramp_takes_nobody_back(climb: Climb) -> None:
    """Who is treated at a share is treated at every higher one, on the way up and on the way down."""
    treated_from: dict[int, float] = {}
    untreated_to: dict[int, float] = {}
    for document, answer in climb.settled():
        percent = document.percent * document.enabled
        if answer.arm == "treatment":
            treated_from[answer.user] = min(percent, treated_from.get(answer.user, 100.0))
        else:
            untreated_to[answer.user] = max(percent, untreated_to.get(answer.user, 0.0))
    both = treated_from.keys() & untreated_to.keys()
    print(f"{len(climb.load.answers)} requests, {len(both)} users seen in both arms, each on its side of one share")
    assert len(both) > 100
    assert all(untreated_to[user] < treated_from[user] for user in both)


def test_a_ramp_begins_in_shadow(climb: Climb, account: LocalCloud) -> None:
    """The LLM is asked for the treated share, the baseline is served, and what would have changed is in CloudWatch."""
    shadowed = [answer for document, answer in climb.settled() if document.mode == "shadow"]
    assert {answer.arm for answer in shadowed} == {"treatment", "control"}
    assert {answer.mode for answer in shadowed} <= {"baseline", "cold_start"}
    assert "hybrid_rerank" in {answer.mode for answer in climb.load.answers}
    recorded = {metric["MetricName"] for metric in account.client("cloudwatch").list_metrics()["Metrics"]}
    assert {MetricName.SHADOW_CHANGED, MetricName.SHADOW_OVERLAP, MetricName.SHADOW_KENDALL_TAU} <= recorded


def test_nobody_s_arm_changes_while_appconfig_is_away(climb: Climb) -> None:
    """Its process is frozen in mid-ramp and thawed: every environment keeps its arms, and the ramp climbs on."""
    gone_s, back_s = climb.away_s
    ramping = SHORT_HEAD.model_copy(update={"enabled": True, "percent": 50.0})
    meanwhile = [answer for answer in climb.load.since(gone_s) if answer.answered_s < back_s]
    print(f"{len(meanwhile)} requests while AppConfig was away")
    assert all(answer.arm == decide(ramping, answer.user).arm for answer in meanwhile)
    assert {answer.arm for answer in meanwhile} == {"treatment", "control"}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_rolls_back_by_itself(account: LocalCloud, fault: str) -> None:
    """At 25 percent the LLM goes bad: the ramp switches off, and says why and at whose cost; no answer is a 5xx."""
    usual_ms, bad = FAULTS[fault]
    behave(account, {**WELL, "latency_ms": usual_ms})
    faulty_until_s = account.flag_control().history(1)[0].started_at_s
    account.flag_control().deploy(OFF, ChangeRecord("test", "off"))
    with begin(account, "ramp", "25,50,100", "--no-shadow", *PACE, *LIMITS) as climbing:
        await_step(account, 25.0)
        # breakers that the fault before opened are to find the LLM well at once
        time.sleep(max(0.0, faulty_until_s + FLIPPED_S + PROBE_AFTER_S - time.time()))
        with Load(account.url) as load:
            time.sleep(FLIPPED_S)
            assert "fallback_baseline" not in {answer.mode for answer in load.answers}
            behave(account, bad)
            bad_s = time.monotonic()
            code, said, told = end(climbing, 120)
            off_s = time.monotonic()
            time.sleep(FLIPPED_S + 0.5)
    print(f"{fault}: off after {off_s - bad_s:.1f} s; {said['sentence']}")
    assert (code, said["ending"]) == (1, "failed"), told
    failed = {finding["figure"] for finding in said["look"]["findings"] if finding["outcome"] == "fail"}
    assert fault.partition(":")[0] in failed
    assert said["exposed_by_ramp"] >= said["exposed"] > 0
    assert said["document"] == {**json.loads(OFF.model_dump_json(by_alias=True)), "percent": 25.0}
    assert load.statuses() == {200}
    assert {answer.arm for answer in load.since(off_s + FLIPPED_S)} == {"control"}
