"""Plain valid requests, answered from the event itself: FastAPI is loaded for the others alone.

To import FastAPI and build its routes takes more than half the CPU of a bare `import numpy, boto3`
(infra/decisions/0080). What is not recognised here, or not valid, is FastAPI's: so every error reads as it words it.
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

import orjson
from pydantic import ValidationError

from flagrank.domain import Origin
from flagrank.serving import api
from flagrank.serving.api import RecommendBody, RecommendParams, RecommendService, SimilarParams
from flagrank.serving.origin import origin_of
from flagrank.serving.reply import Reply, for_gateway


def answered(event: Mapping[str, Any], service: RecommendService, context: Any = None) -> dict[str, Any] | None:
    """The response to an HTTP API event (payload format 2.0); None for a request that FastAPI has to see."""
    if event.get("version") != "2.0":
        return None
    try:
        reply = _reply(event, service, origin_of(event, context))
    except (ValidationError, orjson.JSONDecodeError):
        return None
    return None if reply is None else for_gateway(reply)


def _reply(event: Mapping[str, Any], service: RecommendService, origin: Origin) -> Reply | None:
    http = event["requestContext"]["http"]
    match http["method"], http["path"]:
        case "GET", "/recommend":
            return api.recommended(service, RecommendParams.model_validate(_parameters(event)), origin)
        case "POST", "/recommend" if _is_json(event):
            return api.recommended(service, RecommendBody.model_validate(orjson.loads(event["body"])), origin)
        case "GET", "/similar":
            return api.similar(service, SimilarParams.model_validate(_parameters(event)), origin)
        case "GET", "/health":
            return api.health(service)
    return None


def _parameters(event: Mapping[str, Any]) -> dict[str, str]:
    # of a parameter that is repeated the last counts
    return dict(parse_qsl(event.get("rawQueryString", ""), keep_blank_values=True))


def _is_json(event: Mapping[str, Any]) -> bool:
    # API Gateway writes the names of headers in lower case
    media_type = event.get("headers", {}).get("content-type", "")
    return media_type == "application/json" and bool(event.get("body")) and not event.get("isBase64Encoded")
