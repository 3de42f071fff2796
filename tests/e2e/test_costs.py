"""The calls that `flagrank cost` reckons, beside those that the local cloud counts of the same traffic."""

import time
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from flagrank.benchmarks.query_mix import Answer, ask_all, zipf_mix
from flagrank.costs.calls import calls_of
from flagrank.costs.workload import Path, Workload
from flagrank.local.cloud import LOCAL_FLAG, REPOSITORY, LocalCloud
from flagrank.offline.publishing import artifact_folder

SAMPLE = REPOSITORY / "artifacts/sample"
QUERIES, CALLERS = 200, 2
# what an hour brings at one request in six seconds; an hour's polls are made in these seconds, too
REQUESTS, PER_SECOND, POLL_S = 600, 20.0, 1
INSTANT = {"latency_ms": 12.0, "malformed": 0.0}
# reckoned / counted. Of what requests cause: calls for a part of a batch, a claim that is remembered, and records that
# an environment remembers make the reckoning a little high. Polls depend on when requests come
CAUSED, POLLED = (0.8, 1.5), (0.5, 2.5)
# an environment reserves the spend of several calls at once, and how many that are depends on the day's cap
AT_MOST = {"dynamodb.UpdateItem"}
POLLS = {"appconfig.GetLatestConfiguration", "s3.GetObject", "sqs.DeleteMessageBatch"}
# the local event source polls on its own terms, and no environment starts while the mix is under way
LEFT_OUT = {"lambda.recommend", "lambda.warm", "sqs.ReceiveMessage", "appconfig.StartConfigurationSession"}


def counted(path: Path) -> tuple[Counter[str], list[Answer], float]:
    """The calls of a mix on two environments, its answers, and the seconds that it took."""
    mix = zipf_mix(artifact_folder.load(SAMPLE), QUERIES, REQUESTS)
    flag = LOCAL_FLAG.model_copy(update={"path": str(path)})
    settings = {"FLAGRANK_FACTORS_POLL_S": str(POLL_S)}
    with LocalCloud(SAMPLE, flag, INSTANT, environments=2, flag_poll_s=POLL_S, settings=settings) as cloud:
        before, began_s = cloud.calls(), time.monotonic()
        answers = ask_all(cloud.url, mix, CALLERS, PER_SECOND)
        took_s = time.monotonic() - began_s
        time.sleep(2)
        calls = cloud.calls()
    calls.subtract(before)
    return calls, answers, took_s


def workload_of(path: Path, answers: list[Answer], sent: int, took_s: float) -> Workload:
    """The traffic as an operator would describe it."""
    treated = [answer for answer in answers if answer.arm == "treatment"]
    missing = [answer.missing for answer in treated if answer.missing]
    workload = Workload(
        rps=len(answers) / took_s,
        treated=len(treated) / len(answers),
        hit_rate=1 - len(missing) / len(treated),
        path=path,
        missing_items=float(np.mean(missing)),
        # LocalCloud keeps judgements, for `flagrank distill --local`
        keeps_judgements=True,
        environments=2,
        worker_environments=2,
        flag_poll_s=POLL_S,
        factors_poll_s=POLL_S,
        environment_life_s=float("inf"),
    )
    return replace(workload, tasks_per_miss=sent / len(missing)) if workload.has_worker else workload


@pytest.mark.slow
@pytest.mark.parametrize("path", [Path.ASYNC, Path.INLINE])
def test_the_calls_reckoned_are_those_that_the_local_cloud_counts(path: Path) -> None:
    """An hour's requests in half a minute: each operation within its bound, and the bytes of metrics within a tenth."""
    calls, answers, took_s = counted(path)
    workload = workload_of(path, answers, calls["sqs.SendMessage"], took_s)
    reckoned = calls_of(workload, took_s)
    # a claim is given up where nothing was judged in time, which depends on the machine
    given_up = {"dynamodb.DeleteItem"} if path is Path.INLINE else set()
    for name in reckoned.keys() - LEFT_OUT - given_up:
        low, high = POLLED if name in POLLS else CAUSED
        assert low * calls[name] <= reckoned[name], name
        assert name in AT_MOST or reckoned[name] <= high * calls[name], name
    tasks = calls["logs.warm.lines"]
    emitted = len(answers) * workload.emf_bytes + tasks * workload.worker_emf_bytes
    assert emitted == pytest.approx(calls["logs.recommend.bytes"] + calls["logs.warm.bytes"], rel=0.1)
