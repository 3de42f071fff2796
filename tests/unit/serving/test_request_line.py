"""The one line that is logged of each request: what it says, and what it must not say of anybody."""

import json
import logging
from types import SimpleNamespace
from typing import Any

import pytest

from flagrank.adapters.emf_metrics import EmfMetrics
from flagrank.domain import Origin
from flagrank.flags.assignment import bucket, draw
from flagrank.flags.document import FlagDocument
from flagrank.serving import pipeline
from flagrank.serving.origin import MAX_LENGTH, origin_of
from flagrank.serving.plain_event import answered
from tests.unit.serving.test_plain_event import event, through_fastapi
from tests.wiring import Wired

TREATED = FlagDocument(enabled=True, percent=100, alpha=0.0)
USER = 8_675_309
CONTEXT = SimpleNamespace(aws_request_id="lambda-1")
FROM_GATEWAY = {"requestId": "gateway-1", "http": {"method": "GET", "path": "/recommend", "sourceIp": "127.0.0.1"}}


def asked(query: str) -> dict[str, Any]:
    return {**event("GET", "/recommend", query), "requestContext": FROM_GATEWAY}


def line_of(wired: Wired) -> tuple[str | None, dict[str, Any]]:
    ((arm, _, metadata),) = wired.metrics.records
    return arm, metadata


def test_a_line_says_which_request_it_was_and_what_became_of_it() -> None:
    """Both request ids, arm, mode, reason, versions, the user's bucket, and each step's time."""
    wired = Wired(TREATED)
    answered(asked(f"user_id={USER}&query=wireless"), wired.service, CONTEXT)
    arm, line = line_of(wired)
    assert (line["request_id"], line["gateway_request_id"]) == ("lambda-1", "gateway-1")
    assert (arm, line["mode"], line["reason"]) == ("treatment", "hybrid_rerank", "split")
    assert all(line[part] for part in ("factors", "flag", "model", "prompt"))
    assert line["bucket"] == str(bucket(TREATED.salt, USER))
    assert line["draw"] == f"{draw(TREATED.salt, USER):08x}"
    assert set(line["steps_ms"]) == {"user", "flag", "candidates", "stage2", "rerank", "rules", "total"}


def test_a_request_that_fastapi_sees_is_named_alike() -> None:
    """Whichever way it is answered."""
    wired = Wired(TREATED)
    through_fastapi(asked(f"user_id={USER}"), wired)
    assert line_of(wired)[1]["gateway_request_id"] == "gateway-1"


def test_a_request_for_similar_items_is_named_too() -> None:
    """It has no arm and no bucket."""
    wired = Wired()
    similar = {**event("GET", "/similar", "item_id=105"), "requestContext": {**FROM_GATEWAY}}
    similar["requestContext"]["http"] = {"method": "GET", "path": "/similar"}
    answered(similar, wired.service, CONTEXT)
    arm, line = line_of(wired)
    assert (arm, line["request_id"], line["gateway_request_id"]) == (None, "lambda-1", "gateway-1")


def test_without_a_flag_there_is_no_bucket() -> None:
    """No salt has placed the user."""
    wired = Wired(None)
    wired.recommend(USER)
    assert (line_of(wired)[1]["bucket"], line_of(wired)[1]["draw"]) == ("", "")


@pytest.mark.parametrize(
    ("given", "context"), [(None, None), ({}, object()), ({"requestContext": []}, None), ({"requestContext": {}}, None)]
)
def test_an_event_without_ids_has_an_empty_origin(given: object, context: object) -> None:
    """As a bare invocation from a test does."""
    assert origin_of(given, context) == Origin()


def test_an_id_that_is_none_is_not_logged() -> None:
    """Whoever invokes the function writes the event: no object, and no text without end."""
    assert origin_of({"requestContext": {"requestId": {"user": USER}}}, None) == Origin()
    assert origin_of({"requestContext": {"requestId": "x" * 9999}}, None) == Origin("", "x" * MAX_LENGTH)


@pytest.mark.parametrize("fails", ["nothing", "the rerank", "the baseline", "the event"])
def test_no_line_tells_who_asked_or_for_what(
    fails: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """At INFO and above neither the user's id, nor the query, nor an item's text, whatever goes wrong."""

    def bug(*_: object, **__: object) -> Any:
        raise RuntimeError("a bug")

    wired = Wired(TREATED)
    wired.service.telemetry.sink = EmfMetrics()
    monkeypatch.setattr(wired.llm, "complete", bug) if fails == "the rerank" else None
    monkeypatch.setattr(pipeline, "generate", bug) if fails == "the baseline" else None
    query = f"user_id={USER}&query=wireless%20zebra" + ("&top_k=x" if fails == "the event" else "")
    with caplog.at_level(logging.INFO):
        answered(asked(query), wired.service, CONTEXT)
        wired.service.handoff.start()
    said = capsys.readouterr().out + caplog.text
    assert fails == "the event" or json.loads(said.splitlines()[0])["request_id"] == "lambda-1"
    assert not [told for told in (str(USER), "zebra", "wireless", "Thing", "thing 1") if told in said]
