"""`flagrank warm` against the local cloud: what requests will have judged is judged before they come."""

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from flagrank.adapters.dynamodb_cache import DynamoDBScoreCache
from flagrank.adapters.system_clock import SystemClock
from flagrank.local.cloud import REPOSITORY, LocalCloud
from flagrank.local.processes import variables_to_inherit
from flagrank.rerank.pricing import cost_micro_usd
from flagrank.rerank.records import utc_day
from flagrank.settings import Settings
from tests.e2e.conftest import COMMAND, PATIENT, StartCloud

FLAWLESS = {"malformed": 0.0, "latency_ms": 1.0}
QUERIES = ("wireless headset for work calls", "steel pan")


def command(cloud: LocalCloud, *arguments: str) -> list[str]:
    port = cloud.url.rpartition(":")[2]
    return [sys.executable, "-c", COMMAND, "warm", *arguments, "--local", port, "--json"]


def warm(cloud: LocalCloud, *arguments: str) -> tuple[int, dict[str, Any]]:
    """Exit code and JSON of a command."""
    done = subprocess.run(command(cloud, *arguments), capture_output=True, text=True, timeout=120, check=False)
    return done.returncode, json.loads(done.stdout)


def recommend(cloud: LocalCloud, **values: Any) -> tuple[str, dict[str, Any]]:
    """Mode and tally of one request."""
    answer = httpx.get(cloud.url + "/recommend", params={**values, "explain": True}, timeout=30).json()
    return answer["mode"], answer["diagnostics"]


def statistics(cloud: LocalCloud) -> dict[str, int]:
    """What the LLM's stand-in has served."""
    found: dict[str, int] = httpx.get(cloud.endpoint("bedrock") + "/_statistics").json()
    return found


def served_micro_usd(cloud: LocalCloud) -> int:
    """What the calls that the stand-in answered cost."""
    served = statistics(cloud)
    settings: Settings = Settings.from_env(cloud.variables)
    return cost_micro_usd(settings.prices, PATIENT.model_id, served["input_tokens"], served["output_tokens"])


def spent_micro_usd(cloud: LocalCloud) -> int:
    """What is on the day's bill."""
    clock = SystemClock()
    cache = DynamoDBScoreCache(cloud.client("dynamodb"), cloud.variables["FLAGRANK_TABLE"], clock)
    return cache.read("", utc_day(clock.now())).spent_micro_usd


@pytest.fixture
def queries(tmp_path: Path) -> str:
    file = tmp_path / "queries.txt"
    file.write_text("\n".join(QUERIES) + "\n\n")
    return str(file)


def test_the_first_request_of_a_warmed_user_or_query_asks_nobody(
    start_cloud: StartCloud, tmp_path: Path, queries: str
) -> None:
    """No LLM call and no cache miss, in any environment; and the same command again has nothing left to ask."""
    cloud = start_cloud(behaviour=FLAWLESS)
    users = tmp_path / "users.txt"
    users.write_text("123\n124\n")
    arguments = ("--users", str(users), "--active", "5", "--queries", queries)
    code, planned = warm(cloud, *arguments, "--dry-run")
    assert (code, statistics(cloud)) == (0, {})
    code, said = warm(cloud, *arguments)
    assert (code, said["judged"]["texts_missing"]) == (0, 0)
    assert said["judged"]["llm_calls"] == planned["left"]["calls"] == statistics(cloud)["calls"]
    assert said["judged"]["usd"] <= planned["left"]["usd_at_most"]
    before = statistics(cloud)
    # in the trained type there is no user 0
    asked: list[dict[str, Any]] = [{"user_id": 123}, {"user_id": 124}]
    asked += [{"user_id": 0, "query": query} for query in QUERIES]
    for values in asked:
        mode, diagnostics = recommend(cloud, **values)
        assert mode == "hybrid_rerank"
        assert (diagnostics["llm_calls"], diagnostics["cache_misses"]) == (0, 0)
    assert statistics(cloud) == before
    assert said["wanted"]["covered"] > 0.8
    assert warm(cloud, *arguments)[1]["left"]["calls"] == 0


def test_a_killed_run_is_taken_up_where_it_ended(start_cloud: StartCloud) -> None:
    """The second run asks about what is missing alone, and the bill is what was asked.

    What the killed run had reserved stays on it: too much is counted, never too little.
    """
    cloud = start_cloud(behaviour={**FLAWLESS, "latency_ms": 60.0})
    planned = warm(cloud, "--active", "40", "--dry-run")[1]["left"]
    with subprocess.Popen(
        command(cloud, "--active", "40"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as run:
        while statistics(cloud).get("calls", 0) < planned["calls"] // 2:
            assert run.poll() is None
            time.sleep(0.02)
        run.send_signal(signal.SIGKILL)
    # the stand-in answers what it was asked before
    time.sleep(0.5)
    served, spent = served_micro_usd(cloud), spent_micro_usd(cloud)
    calls = statistics(cloud)["calls"]
    left = warm(cloud, "--active", "40", "--dry-run")[1]["left"]
    # three tasks of six calls are under way at most, for ten calls at a time
    assert planned["calls"] - calls <= left["calls"] <= planned["calls"] - calls + 18
    assert spent >= served
    code, said = warm(cloud, "--active", "40")
    assert (code, said["judged"]["texts_missing"]) == (0, 0)
    assert said["judged"]["llm_calls"] == left["calls"] == statistics(cloud)["calls"] - calls
    # each task's cost is rounded to a whole micro-USD
    assert abs((spent_micro_usd(cloud) - spent) - (served_micro_usd(cloud) - served)) <= said["judged"]["tasks"] / 2 + 1


def test_the_daily_cap_ends_a_run(start_cloud: StartCloud) -> None:
    """It says so, tells what was judged, and what comes too late costs nothing."""
    cloud = start_cloud(PATIENT.model_copy(update={"daily_usd_cap": 0.001}), behaviour=FLAWLESS)
    code, said = warm(cloud, "--active", "40")
    judged = said["judged"]
    assert (code, judged["troubles"]) == (1, {"cost_cap": judged["troubles"]["cost_cap"]})
    assert "micro-USD spent today" in judged["stopped_by"]
    assert 0 < judged["tasks_begun"] < judged["tasks"]
    assert spent_micro_usd(cloud) == round(1e6 * judged["usd"])
    code, said = warm(cloud, "--active", "41", "--batch")
    assert code == 1
    assert "daily cap" in said["error"]


def test_a_batch_is_read_once_by_whoever_comes_back_for_it(start_cloud: StartCloud) -> None:
    """Begun by one process, read by another, for half the price, which is counted once however often it is read."""
    cloud = start_cloud(behaviour={**FLAWLESS, "malformed": 0.05, "throttled": 0.05, "seed": 2})
    code, begun = warm(cloud, "--active", "40", "--batch", "--no-wait")
    job = begun["running"][0]["job"]
    assert (code, spent_micro_usd(cloud)) == (0, 0)
    code, said = warm(cloud, "--batch")
    (read,) = said["ingested"]
    assert (code, read["billed_now"]) == (1, True)
    assert read["answered"] + sum(read["malformed"].values()) + sum(read["errors"].values()) == read["records"] == 240
    assert sum(read["errors"].values()) > 0
    assert sum(read["malformed"].values()) > 0
    assert abs(spent_micro_usd(cloud) - served_micro_usd(cloud) / 2) <= 1
    spent = spent_micro_usd(cloud)
    code, said = warm(cloud, "--batch", "--resume", job)
    (again,) = said["ingested"]
    assert (again["billed_now"], again["texts_written"], again["texts_known"]) == (False, 0, read["texts_written"])
    assert spent_micro_usd(cloud) == spent
    code, said = warm(cloud, "--active", "40", "--dry-run")
    assert said["left"]["calls"] == read["records"] - read["answered"]


def test_after_a_publication_the_most_active_are_judged_by_the_queue_s_worker(start_cloud: StartCloud) -> None:
    """The function queues what is missing of their heads, once however often the event comes."""
    cloud = start_cloud(behaviour=FLAWLESS)
    code = "import json, functions.publication.app as app; print(json.dumps(app.handler({}, None)))"
    variables = {**variables_to_inherit(), **cloud.variables, "FLAGRANK_ACTIVE_USERS": "8"}

    def publication() -> dict[str, Any]:
        done = subprocess.run(
            [sys.executable, "-c", f"import json; {code}"],
            capture_output=True,
            text=True,
            env=variables,
            cwd=REPOSITORY,
        )
        assert done.returncode == 0, done.stderr
        queued: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return queued

    queued = publication()
    assert (queued["users"], queued["tasks"], queued["claimed"]) == (8, 8, 0)
    again = publication()
    assert again["tasks"] == 0
    for _ in range(300):
        if statistics(cloud).get("texts") == 8 * PATIENT.top_m:
            break
        time.sleep(0.1)
    active = warm(cloud, "--active", "8", "--dry-run")[1]
    assert active["left"]["calls"] == 0
    assert statistics(cloud)["texts"] == 8 * PATIENT.top_m


def test_what_this_cloud_cannot_do_says_what_to_do(cloud: LocalCloud, tmp_path: Path) -> None:
    """An id of another type by its line, and a batch that Bedrock would refuse; exit code 2."""
    file = tmp_path / "users.txt"
    file.write_text("7\nsomebody\n")
    code, said = warm(cloud, "--users", str(file))
    assert (code, "users.txt:2: ids of this catalogue are integers" in said["error"]) == (2, True)
    code, said = warm(cloud, "--active", "12", "--batch")
    assert code == 2
    # other files' requests may have had some of it judged
    assert re.search(r"this would be \d+: warm more, or without --batch", said["error"])
