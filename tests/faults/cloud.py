"""A local cloud whose environments reach each service through a proxy that can misbehave."""

import json
import subprocess
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import orjson

from flagrank.flags.document import FlagDocument
from flagrank.local import clients
from flagrank.local.cloud import REPOSITORY, LocalCloud
from flagrank.local.processes import variables_to_inherit
from flagrank.offline.publishing.publish import publish
from tests.faults.fault import CLOCK_SHIFTS_S, SERVICES, Fault

HANDLER = "tests.faults.environment.handler"
# as the SDK's variables and the stand-ins call the services
VARIABLES = {
    "s3": "S3",
    "dynamodb": "DYNAMODB",
    "appconfig": "APPCONFIGDATA",
    "bedrock": "BEDROCK_RUNTIME",
    "sqs": "SQS",
}
STAND_INS = {"s3": "aws", "dynamodb": "aws", "appconfig": "appconfig", "bedrock": "bedrock", "sqs": "sqs"}
PROXY_STOP_S = 5.0


class Proxy:
    """The proxy's process; each call returns once the proxy has done what it was told."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.proxy", *SERVICES],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=REPOSITORY,
            env=variables_to_inherit(),
            start_new_session=True,
        )
        self.ports: dict[str, int] = self._heard()

    def tell(self, name: str, **command: Any) -> int:
        """Gives a command for one service; gives how many requests came for it so far."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"name": name, **command}).encode() + b"\n")
        self._process.stdin.flush()
        return self._heard()["calls"]

    def stop(self) -> None:
        """Ends it."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        try:
            self._process.wait(PROXY_STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _heard(self) -> dict[str, int]:
        assert self._process.stdout is not None
        heard: dict[str, int] = json.loads(self._process.stdout.readline())
        return heard


class FaultyCloud(LocalCloud):
    """The local cloud with the proxy in between; `documents` are the metric lines that the functions wrote."""

    def __init__(self, artifacts: Path, flag: FlagDocument, folder: Path, **options: Any) -> None:
        self.proxy = Proxy()
        self.documents: list[dict[str, Any]] = []
        self._lines = threading.Lock()
        self._trouble_file = folder / "trouble.json"
        self._trouble(None, Fault.NONE)
        settings = {"HARNESS_TROUBLE": str(self._trouble_file), **options.pop("settings", {})}
        super().__init__(artifacts, flag, settings=settings, handler=HANDLER, **options)

    def __enter__(self) -> Self:
        try:
            super().__enter__()
        except BaseException:
            self.proxy.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, trace)
        self.proxy.stop()

    def inject(self, service: str, fault: Fault, late_s: float = 3.0) -> None:
        """Lets a service misbehave from now on; `Fault.NONE` ends it. A late answer comes after `late_s`."""
        self._trouble(service, fault)
        if service in SERVICES:
            self.proxy.tell(service, fault=fault, delay_s=late_s)

    def straight(self, service: str) -> Any:
        """A boto3 client that does not go through the proxy: an operator's, whose own way is not disturbed."""
        variables = self.variables | {
            f"AWS_ENDPOINT_URL_{VARIABLES[name]}": self.endpoint(STAND_INS[name]) for name in VARIABLES
        }
        return clients.client(service, variables)

    def publish_set(self, folder: Path) -> str:
        """Puts a set into force by a straight way; gives its version."""
        return publish(folder, self.straight("s3"), self.variables["FLAGRANK_BUCKET"]).version

    def drained(self) -> list[dict[str, Any]]:
        """The metric lines since this was last asked."""
        with self._lines:
            documents, self.documents = self.documents, []
        return documents

    def _trouble(self, service: str | None, fault: Fault) -> None:
        trouble: dict[str, Any] = {"clock_shift_s": CLOCK_SHIFTS_S.get(fault, 0.0)}
        if fault is Fault.NO_NAME and service is not None:
            trouble["ports_without_name"] = [self.proxy.ports[service]]
        # whole or not at all: an environment reads it with each event
        unfinished = self._trouble_file.with_suffix(".new")
        unfinished.write_text(json.dumps(trouble))
        unfinished.replace(self._trouble_file)

    def _variables(self) -> dict[str, str]:
        for name, stand_in in STAND_INS.items():
            self.proxy.tell(name, upstream=self.endpoint(stand_in))
        through = {
            f"AWS_ENDPOINT_URL_{variable}": f"http://127.0.0.1:{self.proxy.ports[name]}"
            for name, variable in VARIABLES.items()
        }
        return super()._variables() | through

    def _take_line(self, line: bytes) -> None:
        if line.startswith(b"{") and b'"_aws"' in line:
            with self._lines:
                self.documents.append(orjson.loads(line))
        super()._take_line(line)
