"""A stand-in for Bedrock's Converse: judges by words, late, malformed or not at all as often as it is told to.

`invoke_model` answers for embedding models, throttled as often as it is told to, and otherwise without faults. `Rerank`
takes its time for each token of the texts, throttled and hanging as often as it is told to.
"""

import asyncio
import contextlib
import math
import random
import re
from collections import Counter
from dataclasses import asdict, dataclass, replace
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from flagrank.local.bedrock_batch import BatchJobs
from flagrank.local.bedrock_embedding import answer
from flagrank.local.bedrock_rerank import characters_of
from flagrank.local.bedrock_rerank import scores as rerank_scores
from flagrank.local.rest_json import ServiceError, error_response, json_response
from flagrank.offline.evaluation.llm_simulators import answer_of, simulate_by_words

CHARS_PER_TOKEN = 4
HANG_S = 60.0
MEMBERS = frozenset(
    """messages system inferenceConfig toolConfig guardrailConfig additionalModelRequestFields promptVariables
    additionalModelResponseFieldPaths requestMetadata performanceConfig serviceTier outputConfig""".split()
)


@dataclass(frozen=True, slots=True)
class LLMBehaviour:
    """How it behaves: `latency_ms`, and time for each token in and out, spread by `noise`; faults are shares, 0..1.

    It says that it took `billed` times the tokens that it took. `refuses` names members of a request that the model
    does not know, as Nova does not know `outputConfig`: a ValidationException.
    """

    latency_ms: float = 12.0
    ms_per_input_token: float = 0.06
    ms_per_output_token: float = 0.06
    noise: float = 0.1
    malformed: float = 0.04
    throttled: float = 0.0
    hang: float = 0.0
    cut_off: float = 0.0
    refuses: tuple[str, ...] = ()
    billed: float = 1.0
    seed: int = 1


class Stage:
    """The behaviour in force, its dice, and what was served so far."""

    def __init__(self, behaviour: LLMBehaviour) -> None:
        self.statistics: Counter[str] = Counter()
        self.behave(behaviour)

    def behave(self, behaviour: LLMBehaviour) -> None:
        """Puts a behaviour into force."""
        self.behaviour = behaviour
        self.dice = random.Random(behaviour.seed)  # noqa: S311 - a stand-in's dice


def create_app(behaviour: LLMBehaviour) -> Starlette:
    """The application; `GET` and `PUT /_behaviour` read and change how it behaves, `GET /_statistics` counts calls."""
    stage = Stage(behaviour)

    async def converse(request: Request) -> Response:
        return await _converse(stage, orjson.loads(await request.body()))

    async def invoke(request: Request) -> Response:
        return _invoke(stage, request.path_params["model"], orjson.loads(await request.body()))

    async def rerank(request: Request) -> Response:
        return await _rerank(stage, orjson.loads(await request.body()))

    async def show(_: Request) -> Response:
        return json_response(asdict(stage.behaviour))

    async def change(request: Request) -> Response:
        stage.behave(replace(stage.behaviour, **orjson.loads(await request.body())))
        return json_response(asdict(stage.behaviour))

    async def statistics(_: Request) -> Response:
        return json_response(dict(stage.statistics))

    routes = [
        Route("/model/{model:path}/converse", converse, methods=["POST"]),
        Route("/model/{model:path}/invoke", invoke, methods=["POST"]),
        Route("/rerank", rerank, methods=["POST"]),
        Route("/_behaviour", show),
        Route("/_behaviour", change, methods=["PUT"]),
        Route("/_statistics", statistics),
    ]
    app = Starlette(routes=routes, exception_handlers={ServiceError: error_response})
    app.router.routes += BatchJobs(app).routes()
    return app


async def _converse(stage: Stage, body: dict[str, Any]) -> Response:
    behaviour, dice = stage.behaviour, stage.dice
    # all dice are thrown before anything is awaited: a run with the same seed draws the same faults
    throttled, hangs, cut, malformed = (dice.random() < share for share in _shares(behaviour))
    spread = math.exp(dice.gauss(0, behaviour.noise))
    kind = dice.randrange(len(MALFORMED))
    _check(stage, body)
    stage.statistics["calls"] += 1
    if throttled:
        raise _throttled(stage)
    if hangs:
        stage.statistics["hung"] += 1
        # cancelled when the stand-in ends, which is no error
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(HANG_S)
        raise ServiceError("ModelTimeoutException", 408, "The model did not answer in time.")
    prompt = body["messages"][-1]["content"][0]["text"]
    system = "".join(block.get("text", "") for block in body.get("system", []))
    entries = simulate_by_words(prompt)
    stage.statistics["texts"] += len(entries or ())
    judged = answer_of(entries, system)
    text = orjson.dumps(judged).decode() if entries is not None else "I see no items to judge."
    stop_reason = "end_turn"
    if cut:
        text, stop_reason = text[: len(text) // 2], "max_tokens"
    elif malformed:
        text = MALFORMED[kind](text)
    stage.statistics["malformed"] += malformed
    input_tokens = math.ceil((len(prompt) + len(system)) / CHARS_PER_TOKEN)
    output_tokens = math.ceil(len(text) / CHARS_PER_TOKEN)
    latency_ms = _latency_ms(behaviour, input_tokens, output_tokens) * spread
    await asyncio.sleep(latency_ms / 1000)
    block: dict[str, Any] = {"text": text}
    if "toolConfig" in body and not malformed and not cut:
        name = body["toolConfig"]["toolChoice"]["tool"]["name"]
        block = {"toolUse": {"toolUseId": "tool-1", "name": name, "input": judged}}
        stop_reason = "tool_use"
    return json_response(
        {
            "output": {"message": {"role": "assistant", "content": [block]}},
            "stopReason": stop_reason,
            "usage": _billed(stage, input_tokens, output_tokens),
            "metrics": {"latencyMs": round(latency_ms)},
        }
    )


def _billed(stage: Stage, input_tokens: int, output_tokens: int) -> dict[str, int]:
    tokens = [round(stage.behaviour.billed * count) for count in (input_tokens, output_tokens)]
    stage.statistics["input_tokens"] += tokens[0]
    stage.statistics["output_tokens"] += tokens[1]
    return {"inputTokens": tokens[0], "outputTokens": tokens[1], "totalTokens": sum(tokens)}


def _invoke(stage: Stage, model_id: str, body: dict[str, Any]) -> Response:
    stage.statistics["embedding_calls"] += 1
    if stage.dice.random() < stage.behaviour.throttled:
        raise _throttled(stage)
    return json_response(answer(model_id, body))


def _latency_ms(behaviour: LLMBehaviour, input_tokens: int, output_tokens: int) -> float:
    reading, writing = behaviour.ms_per_input_token * input_tokens, behaviour.ms_per_output_token * output_tokens
    return behaviour.latency_ms + reading + writing


async def _rerank(stage: Stage, body: dict[str, Any]) -> Response:
    behaviour, dice = stage.behaviour, stage.dice
    throttled, hangs = dice.random() < behaviour.throttled, dice.random() < behaviour.hang
    stage.statistics["rerank_calls"] += 1
    if throttled:
        raise _throttled(stage)
    answered, tokens = rerank_scores(body), math.ceil(characters_of(body) / CHARS_PER_TOKEN)
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.sleep(HANG_S if hangs else _latency_ms(behaviour, tokens, 0) / 1000)
    return json_response(answered)


def _throttled(stage: Stage) -> ServiceError:
    stage.statistics["throttled"] += 1
    return ServiceError("ThrottlingException", 429, "Too many requests, please wait before trying again.")


def _shares(behaviour: LLMBehaviour) -> tuple[float, float, float, float]:
    return behaviour.throttled, behaviour.hang, behaviour.cut_off, behaviour.malformed


def _check(stage: Stage, body: dict[str, Any]) -> None:
    for member in stage.behaviour.refuses:
        if member in body:
            stage.statistics["refused"] += 1
            raise ServiceError("ValidationException", 400, f"This model doesn't support the {member} field.")
    unknown = body.keys() - MEMBERS
    if unknown:
        raise ServiceError("ValidationException", 400, f"unknown members: {', '.join(sorted(unknown))}")
    if not body.get("messages"):
        raise ServiceError("ValidationException", 400, "messages is required")


def _broken(text: str) -> str:
    return text.replace('"', "", 1).rstrip("]}")


def _prose(text: str) -> str:
    return f"The items score between {len(text) % 50} and 97, I would say."


def _out_of_range(text: str) -> str:
    return re.sub(r"(?<=[:\[,])\d+(?=[,\]])", "1010", text)


def _wrong_types(text: str) -> str:
    return re.sub(r"(?<=[:\[,])\d+(?=[,\]])", '"many"', text)


def _empty(_: str) -> str:
    return ""


MALFORMED = (_broken, _prose, _out_of_range, _wrong_types, _empty)
