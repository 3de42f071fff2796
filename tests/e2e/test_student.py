"""From judged requests to a student in force: what the LLM said of some queries reranks another query at once."""

import itertools
import json
import subprocess
import sys
import time
from pathlib import Path
from random import Random

import httpx

from flagrank.local.cloud import LocalCloud
from flagrank.offline.publishing.artifact_folder import load
from tests.e2e.conftest import COMMAND, PATIENT, StartCloud

FILL = PATIENT.model_copy(update={"student": "fill", "alpha": 0.0, "path": "inline"})
ASKED = 240
# no item is both a camera and a doll: the baseline minds which word is rare, and the stand-in which comes first
NEVER_ASKED = "black camera doll"
RELOADED_WITHIN_S = 60


def queries(artifacts: Path) -> list[str]:
    """Two or three words of an item each; the unheard query is not among them."""
    factors, dice = load(artifacts), Random(0)
    texts = [factors.catalog[row].text.split() for row in range(len(factors.catalog))]
    unheard = set(NEVER_ASKED.split())
    drawn = (dice.sample(dice.choice(texts), dice.choice((2, 3))) for _ in itertools.count())
    return [" ".join(words) for words in itertools.islice((each for each in drawn if unheard != {*each}), ASKED)]


def ask(cloud: LocalCloud, query: str, user_id: int = 123) -> dict[str, object]:
    params = {"user_id": str(user_id), "query": query, "explain": "true", "top_k": "60"}
    answer = httpx.get(f"{cloud.url}/recommend", params=params, timeout=30)
    assert answer.status_code == 200
    document: dict[str, object] = answer.json()
    return document


def distill(cloud: LocalCloud) -> tuple[int, dict[str, object]]:
    port = cloud.url.rpartition(":")[2]
    command = [sys.executable, "-c", COMMAND, "distill", "--local", port, "--json"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    return ended.returncode, json.loads(ended.stdout)


def wait_until_served(cloud: LocalCloud, version: object) -> None:
    until_s = time.monotonic() + RELOADED_WITHIN_S
    while True:
        factors = ask(cloud, "a query of no interest")["versions"]
        assert isinstance(factors, dict)
        if factors["factors"] == version:
            return
        assert time.monotonic() < until_s, f"{factors} instead of {version}"
        time.sleep(0.5)


def test_the_first_request_of_a_query_that_nobody_asked_is_reranked(
    start_cloud: StartCloud, synthetic_artifacts: Path
) -> None:
    """The LLM judges queries, `flagrank distill` learns from what the table keeps, and the LLM may go.

    One environment: each has its own sight of the set in force.
    """
    behaviour = {"malformed": 0.0, "latency_ms": 1.0, "ms_per_input_token": 0.0, "ms_per_output_token": 0.0}
    cloud = start_cloud(FILL, behaviour=behaviour, environments=1, settings={"FLAGRANK_FACTORS_POLL_S": "1"})
    modes = [ask(cloud, query, user)["mode"] for user, query in enumerate(queries(synthetic_artifacts), 1)]
    assert modes.count("hybrid_rerank") > 0.9 * ASKED
    code, report = distill(cloud)
    assert (code, report["published"]) == (0, True)
    wait_until_served(cloud, report["version"])
    cloud.take_down("bedrock")
    first = ask(cloud, NEVER_ASKED)
    assert (first["mode"], first["reason"]) == ("student_rerank", "llm_unavailable")
    diagnostics, items = first["diagnostics"], first["items"]
    assert isinstance(diagnostics, dict)
    assert isinstance(items, list)
    assert (diagnostics["llm_share"], diagnostics["cache_hits"]) == (0, 0)
    assert all(item["student_score"] is not None and item["llm_score"] is None for item in items)
    assert [item["baseline_rank"] for item in items] != sorted(item["baseline_rank"] for item in items)
