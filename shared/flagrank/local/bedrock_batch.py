"""A stand-in for Bedrock's batch inference: jobs that read JSON lines from S3, ask the Converse stand-in, and write.

What comes out lies where Bedrock puts it: a `.out` beside the name of each input and `manifest.json.out`, in a folder
of the job's id. `PUT /_cloud` says where S3 is, as the variables of a local cloud.
"""

import asyncio
import datetime as dt
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from flagrank.local.rest_json import ServiceError, json_response, not_found

# the quota of every text model at this time, which an account cannot change
MINIMUM_RECORDS = 100
AT_ONCE = 200
TIMEOUT_S = 120.0
# a record that holds one of these fails by itself
REFUSED = ("toolConfig", "outputConfig")
ACCOUNT = "123456789012"
WANTED = ("jobName", "roleArn", "modelId", "inputDataConfig", "outputDataConfig")


@dataclass(slots=True)
class _Job:
    """One job: what was asked for, and how far it is."""

    arn: str
    asked: dict[str, Any]
    submitted: str
    status: str = "Submitted"
    message: str | None = None
    counts: dict[str, int] = field(default_factory=dict)
    tokens: dict[str, int] = field(default_factory=lambda: {"inputTokenCount": 0, "outputTokenCount": 0})

    @property
    def description(self) -> dict[str, Any]:
        """The job as GetModelInvocationJob and the summaries of a list show it."""
        shown = {key: value for key, value in self.asked.items() if key not in ("tags", "vpcConfig")}
        message = {"message": self.message} if self.message else {}
        return {
            "jobArn": self.arn,
            "submitTime": self.submitted,
            "lastModifiedTime": _now(),
            "status": self.status,
            **shown,
            **self.counts,
            **message,
        }


class BatchJobs:
    """The jobs of one stand-in, whose records are answered by the Converse of `bedrock`."""

    def __init__(self, bedrock: ASGIApp) -> None:
        self._bedrock = bedrock
        self._jobs: dict[str, _Job] = {}
        self._cloud: Mapping[str, str] = {}
        # a task that nobody holds may be collected before it is done
        self._running: set[asyncio.Task[None]] = set()

    def routes(self) -> list[Route]:
        """The control plane's operations that a warm-up uses."""
        return [
            Route("/_cloud", self._introduce, methods=["PUT"]),
            Route("/model-invocation-job", self._create, methods=["POST"]),
            Route("/model-invocation-job/{job:path}", self._show),
            Route("/model-invocation-jobs", self._list),
        ]

    async def _introduce(self, request: Request) -> Response:
        self._cloud = orjson.loads(await request.body())
        return json_response({})

    async def _create(self, request: Request) -> Response:
        asked = orjson.loads(await request.body())
        missing = [name for name in WANTED if not asked.get(name)]
        if missing:
            raise ServiceError("ValidationException", 400, f"missing: {', '.join(missing)}")
        if asked.get("modelInvocationType") != "Converse":
            raise ServiceError("ValidationException", 400, "this stand-in knows modelInvocationType Converse alone")
        token = asked.get("clientRequestToken")
        same = [job for job in self._jobs.values() if token and job.asked.get("clientRequestToken") == token]
        if same:
            return json_response({"jobArn": same[0].arn})
        region = self._cloud.get("AWS_REGION", "us-east-1")
        arn = f"arn:aws:bedrock:{region}:{ACCOUNT}:model-invocation-job/{secrets.token_hex(6)}"
        job = self._jobs[arn] = _Job(arn, asked, _now())
        task = asyncio.create_task(self._run(job))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return json_response({"jobArn": arn})

    async def _show(self, request: Request) -> Response:
        wanted = request.path_params["job"]
        for arn, job in self._jobs.items():
            if wanted in (arn, arn.rpartition("/")[2]):
                return json_response(job.description)
        raise not_found(f"job {wanted}")

    async def _list(self, request: Request) -> Response:
        part = request.query_params.get("nameContains", "")
        found = [job.description for job in self._jobs.values() if part in job.asked["jobName"]]
        return json_response({"invocationJobSummaries": found})

    async def _run(self, job: _Job) -> None:
        try:
            await self._process(job)
        except Exception as error:
            job.status, job.message = "Failed", f"{type(error).__name__}: {error}"

    async def _process(self, job: _Job) -> None:
        # most clouds run no job, and a stand-in that imported these would start in twice the time
        from flagrank.local import clients

        job.status = "Validating"
        s3 = clients.client("s3", self._cloud)
        bucket, key = _location(job.asked["inputDataConfig"]["s3InputDataConfig"]["s3Uri"])
        read = await asyncio.to_thread(s3.get_object, Bucket=bucket, Key=key)
        lines = (await asyncio.to_thread(read["Body"].read)).splitlines()
        job.counts = dict.fromkeys(
            ("totalRecordCount", "processedRecordCount", "successRecordCount", "errorRecordCount"), 0
        )
        job.counts["totalRecordCount"] = len(lines)
        if len(lines) < MINIMUM_RECORDS:
            job.status = "Failed"
            job.message = f"{len(lines)} records are less than the required minimum of {MINIMUM_RECORDS}"
            return
        job.status = "InProgress"
        answers = await self._answers(job, [orjson.loads(line) for line in lines])
        out_bucket, folder = _location(job.asked["outputDataConfig"]["s3OutputDataConfig"]["s3Uri"])
        folder = f"{folder.rstrip('/')}/{job.arn.rpartition('/')[2]}"
        files = {
            f"{key.rpartition('/')[2]}.out": b"".join(orjson.dumps(answer) + b"\n" for answer in answers),
            "manifest.json.out": orjson.dumps({**job.counts, **job.tokens}),
        }
        for name, body in files.items():
            await asyncio.to_thread(s3.put_object, Bucket=out_bucket, Key=f"{folder}/{name}", Body=body)
        job.status = "Completed"

    async def _answers(self, job: _Job, records: list[dict[str, Any]]) -> list[dict[str, Any]]:
        import httpx

        transport = httpx.ASGITransport(app=self._bedrock)
        turns = asyncio.Semaphore(AT_ONCE)
        # in the order in which they come: Bedrock promises none
        answers: list[dict[str, Any]] = []
        async with httpx.AsyncClient(transport=transport, base_url="http://bedrock", timeout=TIMEOUT_S) as client:

            async def ask(record: dict[str, Any]) -> None:
                async with turns:
                    outcome = await _outcome(client, job, record["modelInput"])
                job.counts["processedRecordCount"] += 1
                job.counts["errorRecordCount" if "error" in outcome else "successRecordCount"] += 1
                answers.append({"recordId": record["recordId"], "modelInput": record["modelInput"], **outcome})

            await asyncio.gather(*map(ask, records))
        return answers


async def _outcome(client: Any, job: _Job, body: dict[str, Any]) -> dict[str, Any]:
    refused = [name for name in REFUSED if name in body]
    if refused:
        return {"error": {"errorCode": 400, "errorMessage": f"batch inference does not support {refused[0]}"}}
    answer = await client.post(f"/model/{job.asked['modelId']}/converse", json=body)
    found = answer.json()
    if answer.status_code != 200:
        return {"error": {"errorCode": answer.status_code, "errorMessage": found["message"]}}
    job.tokens["inputTokenCount"] += found["usage"]["inputTokens"]
    job.tokens["outputTokenCount"] += found["usage"]["outputTokens"]
    return {"modelOutput": found}


def _location(uri: str) -> tuple[str, str]:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket, key


def _now() -> str:
    return dt.datetime.now(dt.UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
