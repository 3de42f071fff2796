"""What the LLM costs on the four ways to judge, for the same mix of queries: the stand-in's own count of tokens.

`python -m flagrank.benchmarks.judging_paths REQUESTS PER_SECOND [PATH ...]` prints the table.
"""

import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from flagrank.benchmarks.query_mix import Answer, Mix, ask_all, distinct_texts, zipf_mix
from flagrank.costs.prices import price_list
from flagrank.costs.workload import Path as JudgingPath
from flagrank.domain import RecommendRequest
from flagrank.errors import CloudError
from flagrank.flags.document import FlagDocument
from flagrank.local.cloud import LOCAL_FLAG, LocalCloud
from flagrank.local.llm_profiles import LLMProfile, speed_of
from flagrank.model.encoding import encode
from flagrank.model.factors import Factors
from flagrank.offline.data import synthetic
from flagrank.offline.evaluation import replay
from flagrank.offline.evaluation.distillation import distill
from flagrank.offline.evaluation.llm_effect import FLAG
from flagrank.offline.evaluation.llm_simulators import SimulatedLLM, simulate_by_words
from flagrank.offline.evaluation.student_arm import judged_texts
from flagrank.offline.publishing import artifact_folder
from flagrank.offline.training.als import AlsParameters, train

QUERIES, STUDENT_QUERIES = 500, 400
MODEL = "amazon.nova-lite-v1:0"
PROFILE = LLMProfile.NOVA_LITE
MALFORMED = 0.04
# a request that waits holds its environment
ENVIRONMENTS = {JudgingPath.INLINE: 6}
SETTLED_S, HEAD = 5.0, 60
COMMAND = (sys.executable, "-c", "from flagrank.cli.app import main; main()")


@dataclass(frozen=True, slots=True)
class PathCost:
    """One way to judge: what was asked of the LLM by requests and ahead of them, and what became of the requests.

    `reranked` is the share of the requests that the LLM or the student ordered; USD are for 1,000 treated requests.
    """

    path: str
    requests: int
    calls: int
    input_tokens: int
    output_tokens: int
    ahead_tokens: int
    distinct_texts: int
    usd_per_thousand: float
    reranked: float
    p50_ms: float
    p95_ms: float


def measure_path(path: JudgingPath, factors: Factors, mix: Mix, per_second: float) -> PathCost:
    """Sends the mix to a local cloud of its own, in which everybody is treated."""
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "set"
        artifact_folder.save(encode(factors, created="2026-01-01T00:00:00+00:00", training={}), made)
        environments = ENVIRONMENTS.get(path, 2)
        behaviour = {**speed_of(PROFILE).behaviour(), "malformed": MALFORMED}
        with LocalCloud(made, _flag(path), behaviour, environments=environments) as cloud:
            ahead = _judge_ahead(cloud, mix) if path is JudgingPath.PRECOMPUTED else {}
            answers = ask_all(cloud.url, mix, environments + 1, per_second)
            time.sleep(SETTLED_S)
            return _costs(path, answers, ahead, statistics(cloud), distinct_texts(cloud))


def _flag(path: JudgingPath) -> FlagDocument:
    # the document's own budgets: a real model does not answer within the 140 ms of the local cloud's
    budgets = {name: FlagDocument.model_fields[name].default for name in ("request_budget_ms", "call_budget_ms")}
    judged_by = {"path": "inline" if path is JudgingPath.INLINE else "async"}
    student = {"student": "fill" if path is JudgingPath.STUDENT else "off"}
    return LOCAL_FLAG.model_copy(update={"percent": 100.0, "model_id": MODEL, **budgets, **judged_by, **student})


def _judge_ahead(cloud: LocalCloud, mix: Mix) -> Mapping[str, int]:
    # what `flagrank warm --queries --batch` does, with its defaults
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "queries.txt"
        file.write_text("\n".join(mix.distinct))
        options = ["--queries", str(file), "--batch", "--local", cloud.url.rpartition(":")[2], "--json"]
        # in a process of its own: it enters the local cloud and leaves this one's variables behind
        done = subprocess.run([*COMMAND, "warm", *options], capture_output=True, text=True, timeout=1800, check=False)
    # 1: the stand-in's malformed answers left some texts unjudged, as a real model's do
    if done.returncode not in (0, 1) or '"wanted"' not in done.stdout:
        raise CloudError(f"the queries were not judged ahead: {done.stdout}{done.stderr}")
    return statistics(cloud)


def statistics(cloud: LocalCloud) -> dict[str, int]:
    """What the stand-in for Bedrock served."""
    with urllib.request.urlopen(cloud.endpoint("bedrock") + "/_statistics", timeout=10) as answer:  # noqa: S310
        served: dict[str, int] = json.loads(answer.read())
    return served


def llm_usd(served: Mapping[str, int]) -> float:
    """What so many tokens of Nova Lite cost, in USD."""
    price = price_list().models[MODEL]
    tokens = (served.get(name, 0) for name in ("input_tokens", "output_tokens"))
    return sum(count * usd for count, usd in zip(tokens, (price.input_usd, price.output_usd), strict=True)) / 1e6


def _costs(
    path: JudgingPath, answers: Sequence[Answer], ahead: Mapping[str, int], served: Mapping[str, int], distinct: int
) -> PathCost:
    # what was asked ahead is in the stand-in's sums, at a batch's price
    usd = llm_usd(served) - (1 - price_list().batch_share.usd) * llm_usd(ahead)
    times_ms = [answer.took_ms for answer in answers]
    return PathCost(
        path=str(path),
        requests=len(answers),
        calls=served["calls"],
        input_tokens=served["input_tokens"],
        output_tokens=served["output_tokens"],
        ahead_tokens=ahead.get("input_tokens", 0) + ahead.get("output_tokens", 0),
        distinct_texts=distinct,
        usd_per_thousand=1000 * usd / len(answers),
        reranked=float(np.mean([answer.is_reranked for answer in answers])),
        p50_ms=float(np.percentile(times_ms, 50)),
        p95_ms=float(np.percentile(times_ms, 95)),
    )


def with_student(factors: Factors, queries: Sequence[str], mix: Mix) -> Factors:
    """The set with a student of what the stand-in's judge says of these queries, but for those that the mix asks."""
    asked = {frozenset(query.split()) for query in mix.distinct}
    recommender = replay.reranking(factors, SimulatedLLM(simulate_by_words), FLAG)
    judged = [
        text
        for query, user_id in zip(queries, itertools.cycle(factors.user_ids.tolist()), strict=False)
        if frozenset(query.split()) not in asked
        for text in judged_texts(recommender.recommend(RecommendRequest(user_id, HEAD, query=query)), "words")
    ]
    return distill(factors, judged).factors


def main() -> None:
    """Measures these ways, or all four, and prints each as a line of JSON."""
    requests, per_second, *names = int(sys.argv[1]), float(sys.argv[2]), *sys.argv[3:]
    paths = [JudgingPath(name) for name in names] or list(JudgingPath)
    factors = train(synthetic.generate(), AlsParameters(iterations=8))
    mix = zipf_mix(factors, QUERIES, requests)
    others = zipf_mix(factors, STUDENT_QUERIES, 0, seed=2).distinct
    for path in paths:
        made = with_student(factors, others, mix) if path is JudgingPath.STUDENT else factors
        cost = measure_path(path, made, mix, per_second)
        sys.stdout.write(json.dumps({**asdict(cost), "load": os.getloadavg()[0]}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
