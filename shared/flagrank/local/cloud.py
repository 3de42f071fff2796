"""The local cloud: stand-ins for AWS, the published factors, and the gateway, as one thing to start and stop."""

import asyncio
import contextlib
import os
import socket
import sys
import threading
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import uvicorn

import flagrank
from flagrank.adapters.control.appconfig_rollout import AppConfigRolloutControl
from flagrank.delivery.change_record import ChangeRecord
from flagrank.errors import CloudError
from flagrank.flags.document import FLAG_POLL_S, FlagDocument
from flagrank.local import clients, seed
from flagrank.local.emf import EmfForwarder
from flagrank.local.event_source import EventSourceMapping
from flagrank.local.gateway import create_app
from flagrank.local.observed import Observed
from flagrank.local.pool import Pool
from flagrank.local.processes import StandIn, variables_to_inherit
from flagrank.local.serve import HOST, bound_listener
from flagrank.offline.publishing.publish import publish
from flagrank.settings import PREFIX, Settings, WorkerSettings

REPOSITORY = Path(flagrank.__file__).resolve().parents[2]
HANDLER = "functions.recommend.app.handler"
WARM_HANDLER = "functions.warm.app.handler"
TIMEOUT_S = 29.0
WARM_TIMEOUT_S = 120.0
WARM_ENVIRONMENTS = 2
WARM_BATCH = 5
VISIBILITY_S = 150
START_S = 60.0
ROLLBACK_S = 0.2
BUCKET = "flagrank-local"
TABLE = "flagrank-scores"
QUEUE = "flagrank-tasks"
APPLICATION, ENVIRONMENT, PROFILE = "flagrank", "local", "rerank"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local"}
REGION = "us-east-1"
LOCAL_FLAG = FlagDocument(
    enabled=True,
    percent=50.0,
    alpha=0.3,
    # high enough that a query's items stay in front, low enough that the LLM's order among them shows
    alpha_query=0.6,
    promotion_cap=20,
    request_budget_ms=140,
    call_budget_ms=70,
    daily_usd_cap=5.0,
)


def open_listener(port: int) -> socket.socket:
    """The API's socket; raises CloudError if the port is taken or the function's code is not here."""
    if not (REPOSITORY / "functions").is_dir():
        raise CloudError("functions/ is not beside this package; run from a clone of the repository")
    try:
        return bound_listener(HOST, port)
    except OSError as error:
        raise CloudError(f"port {port} is in use; choose another with --port") from error


def check_can_serve(port: int) -> None:
    """Raises CloudError where a local cloud could not start: better before training than after."""
    open_listener(port).close()


@dataclass(slots=True)
class LocalCloud:
    """A running local cloud over an artifact folder; `port` 0 lets the system choose.

    `flag_poll_s` below AppConfig's 15 compresses a rollout's time: a service names the next poll, and this one is ours.
    So does `minute_s`, which is what a minute of a deployment strategy lasts, and `visibility_s`, after which a killed
    worker's messages come back. `workers` is how many environments judge what is on the queue.
    The API listens on loopback, the stand-ins on `cloud_host`: a Docker bridge's address lets containers reach them.
    `settings` and `secrets` are variables for the functions; the API tells the former to `flagrank rollout --local`.
    """

    artifacts: Path
    flag: FlagDocument = LOCAL_FLAG
    behaviour: Mapping[str, Any] = field(default_factory=dict)
    port: int = 0
    environments: int = 2
    cloud_host: str = HOST
    settings: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    publish_first: bool = True
    verbose: bool = False
    handler: str = HANDLER
    timeout_s: float = TIMEOUT_S
    flag_poll_s: int | None = None
    minute_s: float = 1.0
    workers: int = WARM_ENVIRONMENTS
    visibility_s: int = VISIBILITY_S
    variables: dict[str, str] = field(default_factory=dict, init=False)
    url: str = field(default="", init=False)
    observed: Observed = field(default_factory=Observed, init=False)
    _stand_ins: dict[str, StandIn] = field(default_factory=dict, init=False)
    _emitted: Counter[str] = field(default_factory=Counter, init=False)
    _queue_arn: str = field(default="", init=False)
    _emf: EmfForwarder | None = field(default=None, init=False)
    _server: uvicorn.Server | None = field(default=None, init=False)
    _thread: threading.Thread | None = field(default=None, init=False)

    def __enter__(self) -> Self:
        listener = open_listener(self.port)
        try:
            self._start(listener)
        except BaseException:
            listener.close()
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def take_down(self, name: str) -> None:
        """Ends one stand-in: `aws` (S3, DynamoDB, CloudWatch), `sqs`, `appconfig` or `bedrock`."""
        self._stand_ins[name].stop()

    def endpoint(self, name: str) -> str:
        """A stand-in's address."""
        return self._stand_ins[name].url

    def calls(self) -> Counter[str]:
        """The calls that the stand-ins answered so far, by `service.Operation`, and the bytes and lines of metrics."""
        counts = (Counter(clients.calls(stand_in.url)) for stand_in in self._stand_ins.values())
        return sum(counts, Counter(self._emitted))

    def client(self, service: str) -> Any:
        """A boto3 client for a service of this cloud."""
        return clients.client(service, self.variables)

    def publish(self) -> None:
        """Publishes the artifacts."""
        publish(self.artifacts, self.client("s3"), BUCKET)

    def flag_control(self) -> AppConfigRolloutControl:
        """The flag's control plane."""
        return AppConfigRolloutControl.named(self.client("appconfig"), APPLICATION, ENVIRONMENT, PROFILE)

    def stop(self) -> None:
        """Ends everything that was started."""
        if self._server is not None and self._thread is not None:
            self._server.should_exit = True
            self._thread.join()
        if self._emf is not None:
            self._emf.stop()
        # each takes a moment to say good-bye to its callers
        with ThreadPoolExecutor() as threads:
            list(threads.map(StandIn.stop, self._stand_ins.values()))

    def _start(self, listener: socket.socket) -> None:
        for name, options in (
            ("aws", {}),
            ("sqs", {}),
            ("appconfig", {"poll_s": self.flag_poll_s, "minute_s": self.minute_s, "rollback_s": ROLLBACK_S}),
            ("bedrock", dict(self.behaviour)),
        ):
            self._stand_ins[name] = StandIn(name, self.cloud_host, options)
        for stand_in in self._stand_ins.values():
            stand_in.wait()
        self.variables = self._variables()
        # the one stand-in that reaches another: batch inference reads and writes S3
        clients.introduce(self.endpoint("bedrock"), self.variables)
        self._seed()
        self._emf = EmfForwarder(self.client("cloudwatch"))
        self.url = f"http://{HOST}:{listener.getsockname()[1]}"
        self._serve(listener)

    def _variables(self) -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL": self.endpoint("aws"),
            "AWS_ENDPOINT_URL_SQS": self.endpoint("sqs"),
            "AWS_ENDPOINT_URL_APPCONFIG": self.endpoint("appconfig"),
            "AWS_ENDPOINT_URL_APPCONFIGDATA": self.endpoint("appconfig"),
            "AWS_ENDPOINT_URL_BEDROCK": self.endpoint("bedrock"),
            "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": self.endpoint("bedrock"),
            "AWS_ENDPOINT_URL_BEDROCK_AGENT_RUNTIME": self.endpoint("bedrock"),
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            **CREDENTIALS,
            "FLAGRANK_BUCKET": BUCKET,
            "FLAGRANK_TABLE": TABLE,
            "FLAGRANK_APPCONFIG_APPLICATION": APPLICATION,
            "FLAGRANK_APPCONFIG_ENVIRONMENT": ENVIRONMENT,
            "FLAGRANK_APPCONFIG_PROFILE": PROFILE,
            # nothing outlives the cloud, so that `flagrank distill --local` has something to learn from
            "FLAGRANK_KEEP_JUDGEMENTS_DAYS": "1",
            **self.settings,
        }

    def _seed(self) -> None:
        seed.create_bucket(self.client("s3"), BUCKET)
        if self.publish_first:
            self.publish()
        seed.create_table(self.client("dynamodb"), TABLE)
        url, self._queue_arn = seed.create_queue(self.client("sqs"), QUEUE, self.visibility_s)
        self.variables["FLAGRANK_QUEUE_URL"] = url
        seed.create_flag_profile(self.client("appconfig"), APPLICATION, ENVIRONMENT, PROFILE)
        self.flag_control().deploy(self.flag, ChangeRecord("flagrank local", "first document"))

    def _serve(self, listener: socket.socket) -> None:
        started = threading.Event()
        failure: list[Exception] = []
        pool = Pool(self._function_variables("recommend"), self.environments, self.timeout_s, self._take_line)
        worker = Pool(self._function_variables("warm"), self.workers, WARM_TIMEOUT_S, self._take_line)
        source = EventSourceMapping(
            self.client("sqs"), self.variables["FLAGRANK_QUEUE_URL"], self._queue_arn, worker, self.workers, WARM_BATCH
        )
        local = {
            "environment": self.variables,
            "environments": self.environments,
            "url": self.url,
            "flag_poll_s": self.flag_poll_s or FLAG_POLL_S,
        }
        config = uvicorn.Config(
            create_app(pool, local, self.observed),
            log_level="error",
            access_log=False,
            lifespan="off",
            timeout_graceful_shutdown=2,
        )
        self._server = uvicorn.Server(config)

        async def serve(server: uvicorn.Server) -> None:
            await pool.start()
            worker.open()
            polling = asyncio.create_task(source.run())
            try:
                # before anybody is told: a request that comes at once waits in the backlog
                listener.listen(config.backlog)
                started.set()
                await server.serve(sockets=[listener])
            finally:
                polling.cancel()
                await asyncio.gather(pool.stop(), worker.stop())

        def run(server: uvicorn.Server) -> None:
            try:
                asyncio.run(serve(server))
            except Exception as error:
                failure.append(error)
            finally:
                started.set()

        self._thread = threading.Thread(target=run, args=[self._server], daemon=True)
        self._thread.start()
        if not started.wait(START_S):
            raise CloudError(f"the function's environments did not start within {START_S:g} s")
        if failure:
            raise CloudError(f"the API did not start: {failure[0]}") from failure[0]

    def _function_variables(self, name: str) -> dict[str, str]:
        is_worker = name == "warm"
        known, others = {*Settings.model_fields}, {*WorkerSettings.model_fields}
        if is_worker:
            known, others = others, known
        # a setting that a function does not know would keep it from starting
        unknown = {f"{PREFIX}{field.upper()}" for field in others - known}
        return {
            **variables_to_inherit(),
            **{name: value for name, value in self.variables.items() if name not in unknown},
            **self.secrets,
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "_HANDLER": WARM_HANDLER if is_worker else self.handler,
            "LAMBDA_TASK_ROOT": str(REPOSITORY),
            "AWS_LAMBDA_FUNCTION_NAME": f"flagrank-{name}",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1769",
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_EC2_METADATA_DISABLED": "true",
            "OPENBLAS_NUM_THREADS": "1",
        }

    def _take_line(self, line: bytes) -> None:
        document = self._emf.take(line) if self._emf is not None else None
        if document is not None:
            self.observed.take(document)
            service = document.get("service", "unknown")
            self._emitted.update({f"logs.{service}.lines": 1, f"logs.{service}.bytes": len(line)})
            return
        if self.verbose:
            # nobody reads any more: the function must not notice
            with contextlib.suppress(OSError):
                sys.stderr.write(line.decode("utf-8", "replace"))
