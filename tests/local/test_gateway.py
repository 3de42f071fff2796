"""The gateway and its environments, with handlers that only tell what they see."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from flagrank.local.gateway import create_app
from flagrank.local.http_api import http_response
from flagrank.local.observed import Observed
from flagrank.local.pool import LOG_LINE_LIMIT, EnvironmentEnded, Pool

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
    size: int = 1,
    timeout_s: float = 10.0,
    lines: list[bytes] | None = None,
    variables: Mapping[str, str] = VARIABLES,
    observed: Observed | None = None,
) -> AsyncIterator[httpx.AsyncClient]:
    taken: list[bytes] = [] if lines is None else lines
    pool = Pool(variables, size, timeout_s, taken.append)
    await pool.start()
    try:
        api = create_app(pool, {"environment": {"A": "1"}}, observed or Observed())
        transport = httpx.ASGITransport(api, client=("203.0.113.7", 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://api.local") as client:
            yield client
    finally:
        await pool.stop()


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


def test_a_path_arrives_decoded_and_cookies_apart() -> None:
    """The path is decoded, the query is not; cookies are a list of their own and no header."""

    async def scenario(client: httpx.AsyncClient) -> Any:
        return (await client.get("/a%20b%3Fc?d=%3F", headers={"cookie": "one=1; two=2"})).json()["event"]

    event = run(scenario)
    assert (event["rawPath"], event["rawQueryString"]) == ("/a b?c", "d=%3F")
    assert event["cookies"] == ["one=1", "two=2"]
    assert "cookie" not in event["headers"]
    assert "body" not in event


def test_text_beyond_ascii_reaches_the_function_whole() -> None:
    """Whatever the locale, a body is UTF-8."""
    variables = {**VARIABLES, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"}
    headers = {"content-type": "application/json"}
    sent = '{"query": "écouteurs 耳机"}'
    answer = run(lambda client: client.post("/", content=sent.encode(), headers=headers), variables=variables)
    assert answer.json()["event"]["body"] == sent


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


@pytest.mark.parametrize("fault", ["die", "raise", "unserialisable", "sleep"])
def test_a_failing_environment_is_a_500_and_is_replaced_if_it_ended(fault: str) -> None:
    """The caller gets API Gateway's own error; the next request is served."""

    async def scenario(client: httpx.AsyncClient) -> Any:
        before = (await client.get("/")).json()["pid"]
        failed = await client.get(f"/?do={fault}")
        return failed, before, (await client.get("/")).json()["pid"]

    failed, before, after = run(scenario, timeout_s=1.0)
    assert (failed.status_code, failed.json()) == (500, {"message": "Internal Server Error"})
    assert (before == after) is (fault in ("raise", "unserialisable"))


@pytest.mark.parametrize(
    ("result", "status", "body"),
    [
        ("hello", 200, b"hello"),
        ({"user_id": 1}, 200, b'{"user_id":1}'),
        ({"statusCode": "201", "headers": {"x-number": 1}}, 201, b""),
        ({"statusCode": "fine"}, 500, b'{"message":"Internal Server Error"}'),
        ({"statusCode": 200, "body": {"a": 1}}, 500, b'{"message":"Internal Server Error"}'),
    ],
)
def test_a_result_is_read_as_api_gateway_reads_it(result: object, status: int, body: bytes) -> None:
    """Without a status code the result is the body; one that cannot be read is the function's failure."""
    response = http_response(result)
    assert (response.status_code, response.body) == (status, body)


def test_an_environment_that_does_not_start_is_tried_again(tmp_path: Path) -> None:
    """While the function's code is broken every request is a 500; once it is mended the next is served."""
    code = tmp_path / "changing_handler.py"
    good = "import os\ndef handle(event, context):\n    return {} if event['rawPath'] == '/' else os._exit(1)\n"
    code.write_text(good)
    variables = {**VARIABLES, "LAMBDA_TASK_ROOT": str(tmp_path), "_HANDLER": "changing_handler.handle"}

    async def scenario(client: httpx.AsyncClient) -> list[int]:
        async def status(path: str) -> int:
            return (await client.get(path)).status_code

        found = [await status("/")]
        code.write_text("this is no Python")
        found += [await status("/die"), await status("/"), await status("/")]
        code.write_text(good)
        return [*found, await status("/")]

    assert run(scenario, variables=variables) == [200, 500, 500, 500, 200]


def test_a_stuck_handler_ends_though_nobody_is_left_to_end_it() -> None:
    """After the gateway was killed, an alarm ends an environment whose handler overruns its timeout."""
    read_end, write_end = os.pipe()
    command = [sys.executable, "-m", "flagrank.local.environment", str(write_end)]
    event = {"queryStringParameters": {"do": "sleep"}}
    with (
        os.fdopen(read_end),
        subprocess.Popen(command, stdin=subprocess.PIPE, env=VARIABLES, pass_fds=[write_end]) as environment,
    ):
        os.close(write_end)
        assert environment.stdin is not None
        environment.stdin.write(json.dumps({"request_id": "1", "timeout_s": 0.1, "event": event}).encode() + b"\n")
        environment.stdin.close()
        assert environment.wait(20) == -signal.SIGALRM


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


def test_output_that_is_too_long_for_a_log_does_not_stop_the_function() -> None:
    """The line is dropped, what follows is handed on, and the environment goes on serving."""
    lines: list[bytes] = []

    async def scenario(client: httpx.AsyncClient) -> list[int]:
        return [(await client.get("/?do=shout")).status_code for _ in range(3)]

    assert run(scenario, lines=lines, timeout_s=5.0) == [200, 200, 200]
    assert max(map(len, lines)) <= LOG_LINE_LIMIT
    assert lines.count(b"a line on standard output\n") == 3


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
    assert env_vars == {"RecommendFunction": {"A": "1"}, "WarmFunction": {"A": "1"}}


def test_the_newest_requests_that_a_metric_counted_can_be_read() -> None:
    """Each tells what it met; a name that is no metric is answered with those that are."""
    observed = Observed()
    for user, fell_back in ((1, 0.0), (2, 1.0), (3, 1.0)):
        stamp = {"Timestamp": 1_800_000_000_000}
        observed.take(
            {"_aws": stamp, "arm": "treatment", "draw": str(user), "Fallback": [fell_back], "Requests": [1.0]}
        )

    async def scenario(client: httpx.AsyncClient) -> None:
        told = (await client.get("/_local/requests", params={"metric": "Fallback"})).json()
        assert [line["draw"] for line in told] == ["3", "2"]
        unknown = await client.get("/_local/requests", params={"metric": "Nothing"})
        assert (unknown.status_code, "ParseFailure" in unknown.text) == (400, True)

    run(scenario, observed=observed)
