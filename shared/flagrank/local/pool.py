"""Lambda's part: execution environments as worker processes, and which of them serves the next event."""

import asyncio
import json
import logging
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any

import orjson

RESULT_LIMIT = 16 * 1024 * 1024
# as much as CloudWatch Logs takes in one event
LOG_LINE_LIMIT = 1024 * 1024
INIT_S = 30.0
STOP_S = 5.0

type TakeLine = Callable[[bytes], None]

logger = logging.getLogger(__name__)


class EnvironmentEnded(Exception):
    """The environment died, or overran the function's timeout and was ended."""


class Environment:
    """One worker process, after its init phase."""

    def __init__(
        self, process: asyncio.subprocess.Process, results: asyncio.StreamReader, output: asyncio.Task[None]
    ) -> None:
        self._process = process
        self._results = results
        self._output = output

    @classmethod
    async def start(cls, variables: Mapping[str, str], take_line: TakeLine) -> "Environment":
        """Starts a worker and waits for its init phase; raises EnvironmentEnded with the handler's own error."""
        read_end, write_end = os.pipe()
        command = (sys.executable, "-m", "flagrank.local.environment", str(write_end))
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=LOG_LINE_LIMIT,
            env=dict(variables),
            pass_fds=[write_end],
            start_new_session=True,
        )
        os.close(write_end)
        results = asyncio.StreamReader(RESULT_LIMIT)
        reader = asyncio.StreamReaderProtocol(results)
        await asyncio.get_running_loop().connect_read_pipe(lambda: reader, os.fdopen(read_end, "rb"))
        assert process.stdout is not None
        environment = cls(process, results, asyncio.create_task(_each_line(process.stdout, take_line)))
        try:
            answer = await environment._receive(INIT_S)
            if "ready" not in answer:
                raise EnvironmentEnded(f"{answer['errorType']}: {answer['errorMessage']}")
        except BaseException:
            await environment.stop(now=True)
            raise
        return environment

    async def invoke(self, event: Mapping[str, Any], request_id: str, timeout_s: float) -> dict[str, Any]:
        """The handler's result or error document; raises EnvironmentEnded if there is none in time."""
        assert self._process.stdin is not None
        invocation = {"request_id": request_id, "timeout_s": timeout_s, "event": event}
        try:
            self._process.stdin.write(orjson.dumps(invocation, option=orjson.OPT_APPEND_NEWLINE))
            await self._process.stdin.drain()
        except (BrokenPipeError, ConnectionResetError) as error:
            raise EnvironmentEnded("Runtime exited") from error
        return await self._receive(timeout_s)

    async def stop(self, *, now: bool = False) -> None:
        """Ends the worker; `now` without letting it finish."""
        if now and self._process.returncode is None:
            self._process.kill()
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            await asyncio.wait_for(self._process.wait(), STOP_S)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
        await self._output

    async def _receive(self, timeout_s: float) -> dict[str, Any]:
        try:
            line = await asyncio.wait_for(self._results.readline(), timeout_s)
            answer: dict[str, Any] = json.loads(line) if line else {}
        except TimeoutError as error:
            raise EnvironmentEnded(f"Task timed out after {timeout_s:.2f} seconds") from error
        except ValueError as error:
            raise EnvironmentEnded(f"Runtime answered what cannot be read: {error}") from error
        if not answer:
            raise EnvironmentEnded("Runtime exited")
        return answer


class Pool:
    """Environments that take turns: the one used last is used next, as Lambda does, so idle ones stay idle."""

    def __init__(self, variables: Mapping[str, str], size: int, timeout_s: float, take_line: TakeLine) -> None:
        self._variables = variables
        self._size = size
        self._timeout_s = timeout_s
        self._take_line = take_line
        # None is a vacancy: an environment that should be there, and that the next event tries to start
        self._free: asyncio.LifoQueue[Environment | None] = asyncio.LifoQueue()
        self._all: set[Environment] = set()
        self._replacements: set[asyncio.Task[None]] = set()

    def open(self) -> None:
        """Starts nothing: each environment begins with the first event that needs it."""
        for _ in range(self._size):
            self._free.put_nowait(None)

    async def start(self) -> None:
        """Starts every environment; raises EnvironmentEnded if one cannot, and leaves none behind."""
        started = await asyncio.gather(*(self._environment() for _ in range(self._size)), return_exceptions=True)
        for outcome in started:
            if isinstance(outcome, BaseException):
                await self.stop()
                raise outcome
            self._free.put_nowait(outcome)

    async def stop(self) -> None:
        """Ends every environment."""
        for replacement in self._replacements:
            replacement.cancel()
        await asyncio.gather(*self._replacements, return_exceptions=True)
        await asyncio.gather(*(environment.stop() for environment in self._all))

    async def invoke(self, event: Mapping[str, Any], request_id: str) -> dict[str, Any]:
        """The function's result or error document, waiting for a free environment.

        Raises EnvironmentEnded for one that died or overran the timeout; it is replaced meanwhile.
        """
        environment = await self._free.get()
        try:
            environment = environment or await self._environment()
            answer = await environment.invoke(event, request_id, self._timeout_s)
        except EnvironmentEnded as error:
            logger.error("%s %s", request_id, error)
            self._replace(environment)
            raise
        self._free.put_nowait(environment)
        if "errorType" in answer:
            logger.error("%s %s", request_id, "".join(answer["stackTrace"]))
        return answer

    async def _environment(self) -> Environment:
        environment = await Environment.start(self._variables, self._take_line)
        self._all.add(environment)
        return environment

    def _replace(self, ended: Environment | None) -> None:
        if ended is None:
            self._free.put_nowait(None)
            return
        # the caller has its error; it need not wait for another's cold start
        replacement = asyncio.create_task(self._start_instead(ended))
        self._replacements.add(replacement)
        replacement.add_done_callback(self._replacements.discard)

    async def _start_instead(self, ended: Environment) -> None:
        self._all.discard(ended)
        await ended.stop(now=True)
        try:
            self._free.put_nowait(await self._environment())
        except EnvironmentEnded as error:
            logger.error("an environment did not start: %s", error)
            self._free.put_nowait(None)


async def _each_line(stream: asyncio.StreamReader, take_line: TakeLine) -> None:
    # to the end, come what may: an environment whose output nobody reads stands still once the pipe is full
    while True:
        try:
            line = await stream.readline()
        except ValueError:
            logger.warning("a line that is longer than %d bytes was dropped from the output", LOG_LINE_LIMIT)
            continue
        if not line:
            return
        take_line(line)
