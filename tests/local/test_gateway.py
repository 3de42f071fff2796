"""The gateway and its environments, with handlers that only tell what they see."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from flagrank.local.gateway import EnvironmentEnded, Pool, create_app

ROOT = Path(__file__).parents[2]
VARIABLES = {
    **os.environ,
    "_HANDLER": "tests.local.handlers.echo",
    "LAMBDA_TASK_ROOT": str(ROOT),
    "AWS_LAMBDA_FUNCTION_NAME": "test",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128",
}


@asynccontextmanager
async def gateway(
    size: int = 1, timeout_s: float = 10.0, lines: list[bytes] | None = None
) -> AsyncIterator[httpx.AsyncClient]:
    taken: list[bytes] = [] if lines is None else lines
    pool = Pool(VARIABLES, size, timeout_s, taken.append)
    app = create_app(pool, {"environment": {"A": "1"}}, lambda: None)
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app, client=("203.0.113.7", 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://api.local") as client:
            yield client


def run(scenario: Callable[[httpx.AsyncClient], Any], **options: Any) -> Any:
    async def main() -> Any:
        async with gateway(**options) as client:
            return await scenario(client)

    return asyncio.run(main())


def test_a_request_becomes_an_http_api_event() -> None:
    """Method, path, raw query, repeated parameters and headers, and the body as text: payload format 2.0."""

    async def scenario(client: httpx.AsyncClient) -> Any:
        headers = [("X-Twice", "1"), ("X-Twice", "2"), ("Content-Type", "application/json")]
        return (await client.post("/recommend?a=1&a=2&b=x%20y", content=b'{"user_id": 1}', headers=headers)).json()

    event = run(scenario)["event"]
    assert (event["version"], event["rawPath"], event["rawQueryString"]) == ("2.0", "/recommend", "a=1&a=2&b=x%20y")
    assert event["queryStringParameters"] == {"a": "1,2", "b": "x y"}
    assert event["headers"]["x-twice"] == "1,2"
    assert (event["body"], event["isBase64Encoded"]) == ('{"user_id": 1}', False)
    http = event["requestContext"]["http"]
    assert (http["method"], http["path"], http["sourceIp"]) == ("POST", "/recommend", "203.0.113.7")
    assert event["requestContext"]["stage"] == "$default"


def test_bytes_travel_as_base64_both_ways() -> None:
    """A body that is no text is encoded on the way in, a binary answer decoded on the way out."""

    async def scenario(client: httpx.AsyncClient) -> Any:
        sent = await client.post("/", content=b"\xff\x00", headers={"content-type": "application/octet-stream"})
        return sent.json(), await client.get("/?do=binary")

    sent, answer = run(scenario)
    assert (sent["event"]["body"], sent["event"]["isBase64Encoded"]) == ("/wA=", True)
    assert (answer.status_code, answer.content, answer.headers["x-kind"]) == (201, b"\x00\x01\x02", "binary")


def test_cookies_become_headers_of_their_own() -> None:
    """One set-cookie a cookie."""
    answer = run(lambda client: client.get("/?do=cookies"))
    assert answer.headers.get_list("set-cookie") == ["a=1", "b=2"]


@pytest.mark.parametrize("fault", ["die", "raise", "sleep"])
def test_a_failing_environment_is_a_500_and_is_replaced_if_it_ended(fault: str) -> None:
    """The caller gets API Gateway's own error; the next request is served."""

    async def scenario(client: httpx.AsyncClient) -> Any:
        before = (await client.get("/")).json()["pid"]
        failed = await client.get(f"/?do={fault}")
        return failed, before, (await client.get("/")).json()["pid"]

    failed, before, after = run(scenario, timeout_s=1.0)
    assert (failed.status_code, failed.json()) == (500, {"message": "Internal Server Error"})
    assert (before == after) is (fault == "raise")


def test_an_environment_serves_one_request_at_a_time_and_the_last_used_goes_first() -> None:
    """Idle environments stay idle, as Lambda's do."""

    async def scenario(client: httpx.AsyncClient) -> Any:
        one_by_one = [(await client.get("/")).json()["pid"] for _ in range(4)]
        at_once = [answer.json()["pid"] for answer in await asyncio.gather(*(client.get("/") for _ in range(8)))]
        return one_by_one, at_once

    one_by_one, at_once = run(scenario, size=2)
    assert len(set(one_by_one)) == 1
    assert len(set(at_once)) == 2


def test_what_the_function_prints_is_handed_on() -> None:
    """Standard output is the function's log."""
    lines: list[bytes] = []
    run(lambda client: client.get("/"), lines=lines)
    assert b"a line on standard output\n" in lines


def test_a_handler_that_cannot_be_loaded_says_so() -> None:
    """The init phase fails with the handler's own error."""
    pool = Pool({**VARIABLES, "_HANDLER": "tests.local.nothing.echo"}, 1, 1.0, lambda line: None)
    with pytest.raises(EnvironmentEnded, match="ModuleNotFoundError"):
        asyncio.run(pool.start())


def test_the_gateway_tells_how_to_reach_the_local_cloud() -> None:
    """For `flagrank rollout --local` and for `sam local invoke --env-vars`."""

    async def scenario(client: httpx.AsyncClient) -> Any:
        return (await client.get("/_local")).json(), (await client.get("/_local/env-vars")).json()

    local, env_vars = run(scenario)
    assert local["environment"] == {"A": "1"}
    assert env_vars == {"RecommendFunction": {"A": "1"}}
