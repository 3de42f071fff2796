"""Judged behind the requests: queue, worker and score cache of the local cloud, with an LLM at a real one's speed."""

import contextlib
import os
import random
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from flagrank.adapters.dynamodb_cache import DynamoDBScoreCache
from flagrank.adapters.sqs_queue import SqsJudgementQueue
from flagrank.adapters.system_clock import SystemClock
from flagrank.flags.document import FlagDocument
from flagrank.local.cloud import LocalCloud
from flagrank.ports import JudgementTask
from flagrank.rerank.answers import FORMS
from flagrank.rerank.records import record_key, utc_day
from tests.e2e.conftest import PATIENT, StartCloud

ASYNC = PATIENT.model_copy(update={"path": "async"})
# a real model's: about 1.2 s for ten items
REAL = {"latency_ms": 350.0, "ms_per_input_token": 1.6, "ms_per_output_token": 1.6, "malformed": 0.0}
QUICK = {"latency_ms": 5.0, "ms_per_input_token": 0.0, "ms_per_output_token": 0.0, "malformed": 0.0}


def ask(cloud: LocalCloud, query: str, user: int = 1) -> dict[str, Any]:
    """One answer, with its diagnostics."""
    params: dict[str, str | int] = {"user_id": user, "query": query, "explain": "true"}
    answer = httpx.get(cloud.url + "/recommend", params=params, timeout=30)
    assert answer.status_code == 200
    document: dict[str, Any] = answer.json()
    return document


def calls(cloud: LocalCloud) -> int:
    """The LLM calls that the stand-in counted."""
    return int(httpx.get(cloud.endpoint("bedrock") + "/_statistics").json().get("calls", 0))


def until(condition: Callable[[], bool], seconds: float = 60) -> None:
    """Waits for something to happen."""
    end_s = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end_s, "it never happened"
        time.sleep(0.1)


def test_a_cold_query_is_answered_at_once_and_judged_by_the_next_request(start_cloud: StartCloud) -> None:
    """The first answer is the baseline and no failure; a later one has the LLM's order and makes no call."""
    cloud = start_cloud(ASYNC, behaviour=QUICK, environments=1)
    first = ask(cloud, "cordless headset")
    assert (first["mode"], first["reason"], first["diagnostics"]["llm_calls"]) == ("baseline", "warming", 0)
    until(lambda: ask(cloud, "cordless headset")["mode"] == "hybrid_rerank")
    assert ask(cloud, "cordless headset")["diagnostics"]["llm_calls"] == 0
    until(lambda: cloud.observed.read(0, time.time() + 1).treatment["cost_micro_usd"] > 0)


def test_identical_cold_requests_are_one_judgement(start_cloud: StartCloud) -> None:
    """200 at once over four environments: each is answered, and the items are judged once."""
    cloud = start_cloud(ASYNC, behaviour=REAL, environments=4)
    params: dict[str, str | int] = {"user_id": 1, "query": "cordless headset"}
    with httpx.Client(base_url=cloud.url, timeout=30) as client, ThreadPoolExecutor(50) as callers:
        answers = list(callers.map(lambda _: client.get("/recommend", params=params), range(200)))
    assert {answer.status_code for answer in answers} == {200}
    # whoever comes after the judgement has it
    assert "warming" in {answer.json()["reason"] for answer in answers} <= {"warming", "split"}
    until(lambda: ask(cloud, "cordless headset")["mode"] == "hybrid_rerank")
    time.sleep(2)
    assert calls(cloud) == 6


def test_what_the_request_did_not_manage_goes_on_the_queue(start_cloud: StartCloud) -> None:
    """An LLM that is too slow for the request's budget is not too slow for the worker."""
    both = FlagDocument.model_validate(
        {**PATIENT.model_dump(by_alias=True), "path": "both", "request_budget_ms": 140, "call_budget_ms": 70}
    )
    cloud = start_cloud(both, behaviour=REAL, environments=1)
    assert ask(cloud, "cordless headset")["mode"] == "fallback_baseline"
    until(lambda: ask(cloud, "cordless headset")["mode"] == "hybrid_rerank")


def test_a_queue_that_is_gone_costs_the_judgement_and_nothing_else(start_cloud: StartCloud) -> None:
    """The request is answered, and the failure has a name."""
    cloud = start_cloud(ASYNC, behaviour=QUICK, environments=1)
    cloud.take_down("sqs")
    assert ask(cloud, "cordless headset")["reason"] == "warming"
    until(lambda: ask(cloud, "cordless headset")["reason"] == "warming" and handoff_failures(cloud) > 0)


def handoff_failures(cloud: LocalCloud) -> float:
    """The failures that CloudWatch has heard of."""
    found = cloud.client("cloudwatch").get_metric_statistics(
        Namespace="Flagrank",
        MetricName="HandoffFailure",
        Dimensions=[{"Name": "arm", "Value": "treatment"}, {"Name": "service", "Value": "recommend"}],
        StartTime=time.time() - 600,
        EndTime=time.time() + 60,
        Period=60,
        Statistics=["Sum"],
    )
    return float(sum(point["Sum"] for point in found["Datapoints"]))


INTENTS, TEXTS, KILLS, CALL_ITEMS = 200, 20, 50, 10


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_workers_that_are_killed_again_and_again_judge_everything_in_the_end(start_cloud: StartCloud) -> None:
    """SIGKILL, 50 times: every intent is judged, and the spend is that of every call but those that a kill cut off."""
    # all calls have as many input tokens, and nothing else costs money: the spend is a number of calls
    prices = {"FLAGRANK_PRICES": '{"*": {"input_usd": 1000, "output_usd": 0}}', "FLAGRANK_CACHE_TTL_S": "86400"}
    rich = ASYNC.model_copy(update={"daily_usd_cap": 1e6})
    cloud = start_cloud(rich, behaviour=REAL, environments=1, visibility_s=6, settings=prices)
    queue = SqsJudgementQueue(cloud.client("sqs"), cloud.variables["FLAGRANK_QUEUE_URL"])
    cache = DynamoDBScoreCache(cloud.client("dynamodb"), cloud.variables["FLAGRANK_TABLE"], SystemClock())
    form = FORMS[rich.answer]

    def send(number: int) -> str:
        intent = f"intent {number:04d}"
        texts = tuple(f"item {number:04d} {'intent ' * (place % 3)}{place:04d}" for place in range(TEXTS))
        texts = tuple(text.ljust(40, ".") for text in texts)
        queue.send(JudgementTask(intent, rich.model_id, form.version, texts))
        return record_key(intent, rich.model_id, form.version)

    def spent() -> int:
        return cache.read("none", utc_day(time.time())).spent_micro_usd

    def judged(key: str) -> bool:
        record = cache.read(key, "").record
        return record is not None and len(record.scores) == TEXTS

    first = send(0)
    until(lambda: judged(first))
    unit, rest = divmod(spent(), calls(cloud))
    assert rest == 0
    keys = [first, *map(send, range(1, INTENTS))]
    killed = 0
    while killed < KILLS:
        time.sleep(random.Random(killed).uniform(1.0, 3.0))
        for pid in workers()[: KILLS - killed]:
            os.kill(pid, signal.SIGKILL)
            killed += 1
    until(lambda: all(map(judged, keys)), 300)
    time.sleep(3)
    made, (counted, rest) = calls(cloud), divmod(spent(), unit)
    needed = INTENTS * TEXTS // CALL_ITEMS
    print(f"{killed} kills: {made} calls made, {counted} counted, {made - counted} cut off; {needed} needed")
    assert rest == 0
    assert needed <= counted <= made
    # what an environment has in hand: five messages of two calls
    assert made - counted <= 10 * killed


def workers() -> list[int]:
    """The processes of this test's worker environments."""
    found = []
    for folder in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            is_child = int((folder / "stat").read_text().rpartition(")")[2].split()[1]) == os.getpid()
            if is_child and b"AWS_LAMBDA_FUNCTION_NAME=flagrank-warm\0" in (folder / "environ").read_bytes():
                found.append(int(folder.name))
    return found
