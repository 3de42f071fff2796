"""What callers get while parts of the cloud are gone or misbehave: the baseline, always with 200."""

import time

import httpx
import pytest

from flagrank.local.cloud import LOCAL_FLAG
from tests.e2e.conftest import PATIENT, StartCloud

# budgets that a busy machine keeps: what fails here must be the LLM
TREATED = PATIENT.model_copy(update={"request_budget_ms": 1000, "call_budget_ms": 400})


def reasons(url: str, count: int) -> list[tuple[int, str, str]]:
    """Status, mode and reason of so many users' requests, each with a query of its own."""
    with httpx.Client(base_url=url, timeout=30) as client:
        asked = [{"user_id": str(user), "query": f"cordless headset {user}"} for user in range(1, count + 1)]
        answers = [client.get("/recommend", params=params) for params in asked]
    return [(answer.status_code, answer.json()["mode"], answer.json()["reason"]) for answer in answers]


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        ({"hang": 1.0}, "timeout"),
        ({"malformed": 1.0}, "parse"),
    ],
)
def test_a_failing_llm_costs_the_rerank_and_nothing_else(
    start_cloud: StartCloud, behaviour: dict[str, float], reason: str
) -> None:
    """Every answer is the baseline with its reason, until the breaker stops the calls."""
    found = reasons(start_cloud(TREATED, behaviour=behaviour, environments=1).url, 12)
    assert {entry[:2] for entry in found} == {(200, "fallback_baseline")}
    assert found[0][2] in {reason, "low_coverage"}
    assert found[-1][2] == "breaker_open"


def test_the_cloud_may_go_once_the_function_runs(start_cloud: StartCloud) -> None:
    """DynamoDB, S3 and AppConfig gone: still 200, from the factors and the flag that were read last."""
    cloud = start_cloud(PATIENT, environments=1)
    assert reasons(cloud.url, 1) == [(200, "hybrid_rerank", "split")]
    cloud.take_down("appconfig")
    cloud.take_down("aws")
    found = reasons(cloud.url, 5)
    # the first user's scores are still in the process's own tier; without the table nothing new is asked
    assert found[0] == (200, "hybrid_rerank", "split")
    assert set(found[1:]) == {(200, "fallback_baseline", "cache")}
    cloud.take_down("bedrock")
    assert {entry[0] for entry in reasons(cloud.url, 5)} == {200}


def test_a_control_user_never_notices_the_llm(start_cloud: StartCloud) -> None:
    """At 0 percent a hanging LLM is not asked."""
    cloud = start_cloud(LOCAL_FLAG.model_copy(update={"percent": 0.0}), behaviour={"hang": 1.0})
    assert set(reasons(cloud.url, 20)) == {(200, "baseline", "split")}
    assert httpx.get(cloud.endpoint("bedrock") + "/_statistics").json() == {}


def test_without_factors_the_answer_is_503_until_they_appear(start_cloud: StartCloud) -> None:
    """The one 5xx: with a reason and Retry-After, and over as soon as factors are published."""
    cloud = start_cloud(PATIENT, environments=1, publish_first=False)
    response = httpx.get(cloud.url + "/recommend", params={"user_id": 1})
    assert (response.status_code, response.json()["reason"]) == (503, "factors_unavailable")
    assert int(response.headers["retry-after"]) > 0
    cloud.publish()
    for _ in range(50):
        response = httpx.get(cloud.url + "/recommend", params={"user_id": 1})
        if response.status_code == 200:
            break
        time.sleep(0.1)
    assert response.status_code == 200
