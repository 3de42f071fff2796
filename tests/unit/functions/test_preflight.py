"""The check before a new version takes traffic, through boto3 to a Lambda and a CodeDeploy on the loopback."""

import importlib
import json
import urllib.parse
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.adapters.loopback import REGION, Answer, Call, Loopback, failure

NEW, LIVE = (
    "arn:aws:lambda:eu-west-1:123456789012:function:f:7",
    "arn:aws:lambda:eu-west-1:123456789012:function:f:live",
)
HOOK = {"DeploymentId": "d-1", "LifecycleEventHookExecutionId": "hook-1"}
GOOD = Answer(body=b'{"top_items": [1, 2, 3], "mode": "cold_start"}')
NO_FACTORS = Answer(body=b'{"title": "No factors", "status": 503, "reason": "factors_unavailable"}')

type Preflight = Callable[[Answer, Answer], tuple[dict[str, Any], dict[str, Any]]]


@pytest.fixture
def preflight(monkeypatch: pytest.MonkeyPatch) -> Iterator[Preflight]:
    """The handler's answer, and what CodeDeploy was told, where the new and the live version answer so."""
    answers: dict[str, Answer] = {}
    told: list[dict[str, Any]] = []

    def respond(call: Call) -> Answer:
        if call.path == "/":
            told.append(json.loads(call.body))
            return Answer(body=b"{}")
        function = urllib.parse.unquote(call.path.split("/")[3])
        assert json.loads(call.body) == {"user_id": "0", "top_k": 5}
        return answers[function]

    with Loopback(respond) as cloud:
        for name, value in {
            "NEW_VERSION": NEW,
            "LIVE_ALIAS": LIVE,
            "AWS_ENDPOINT_URL": cloud.url,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
        }.items():
            monkeypatch.setenv(name, value)
        handler = importlib.reload(importlib.import_module("functions.preflight.app")).handler

        def run(new: Answer, live: Answer) -> tuple[dict[str, Any], dict[str, Any]]:
            answers.update({NEW: new, LIVE: live})
            answer = handler(HOOK, None)
            (said,) = told
            return answer, said

        yield run


def test_a_version_that_answers_may_take_traffic(preflight: Preflight) -> None:
    """CodeDeploy hears Succeeded for its own execution; the live version is not asked."""
    answer, told = preflight(GOOD, failure("ResourceNotFoundException", 404))
    assert answer == {"status": "Succeeded", "problem": None}
    assert told == {"deploymentId": "d-1", "lifecycleEventHookExecutionId": "hook-1", "status": "Succeeded"}


@pytest.mark.parametrize(
    "bad",
    [
        Answer(body=b'{"errorType": "ImportError"}', headers={"X-Amz-Function-Error": "Unhandled"}),
        Answer(body=b"not json"),
        Answer(body=b'"text"'),
        Answer(body=b'{"top_items": []}'),
        Answer(body=b'{"top_items": [1, 1]}'),
        Answer(body=b'{"top_items": [1, 2, 3, 4, 5, 6]}'),
        failure("AccessDeniedException", 403),
        NO_FACTORS,
    ],
    ids=["crash", "no json", "no document", "empty", "repeated", "too many", "denied", "no factors"],
)
def test_a_version_that_does_not_answer_gets_no_traffic(preflight: Preflight, bad: Answer) -> None:
    """Whatever it says instead, CodeDeploy hears Failed."""
    answer, told = preflight(bad, GOOD)
    assert (answer["status"], told["status"]) == ("Failed", "Failed")
    assert answer["problem"]


def test_what_fails_just_as_the_live_version_is_not_the_version_s_fault(preflight: Preflight) -> None:
    """A stack without factors can still be deployed to."""
    assert preflight(NO_FACTORS, NO_FACTORS)[0]["status"] == "Succeeded"
