"""Batch inference over Bedrock's model invocation jobs: JSON lines in S3 in and out, each record a Converse body.

The records hold no tools and no schema, which a Converse job refuses or does not promise to keep to. See
https://docs.aws.amazon.com/bedrock/latest/userguide/batch-inference-data.html and, for what comes out,
https://docs.aws.amazon.com/bedrock/latest/userguide/batch-inference-results.html.
"""

import json
from collections.abc import Iterable, Iterator
from typing import Any

from flagrank.adapters.aws_errors import aws_errors
from flagrank.adapters.bedrock_llm import completion_of, plain_body
from flagrank.errors import ConfigurationError
from flagrank.rerank.batch_inference import BatchAnswer, BatchRecord, JobState, JobStatus

PREFIX = "warm"
CHUNK_BYTES = 65_536
UNREADABLE = "an answer that is none of Converse"
RECORDS, PLAN, JOB, REPORT = "records.jsonl", "plan.json", "job.json", "report.json"
STATES = {
    "Completed": JobState.ENDED,
    "PartiallyCompleted": JobState.ENDED,
    # what was answered before is there, and on the bill
    "Stopped": JobState.ENDED,
    "Expired": JobState.ENDED,
    "Failed": JobState.FAILED,
}


class BedrockBatch:
    """A BatchInference with a folder of a bucket for each batch. `role_arn` is the role that Bedrock takes on in it."""

    def __init__(self, bedrock: Any, s3: Any, bucket: str, role_arn: str | None, prefix: str = PREFIX) -> None:
        self._bedrock = bedrock
        self._s3 = s3
        self._bucket = bucket
        self._role_arn = role_arn
        self._prefix = prefix

    def prepare(self, name: str, plan: bytes, records: Iterable[BatchRecord], model_id: str) -> None:
        """See BatchInference."""
        lines = (_line(record, model_id) for record in records)
        with aws_errors():
            self._put(name, RECORDS, b"".join(lines))
            self._put(name, PLAN, plan)

    def open_batches(self) -> list[str]:
        """See BatchInference."""
        with aws_errors():
            keys = set(self._keys(f"{self._prefix}/"))
        names = {key.split("/")[-2] for key in keys if key.endswith(f"/{PLAN}")}
        return sorted(name for name in names if self._key(name, REPORT) not in keys)

    def name_of(self, job: str) -> str:
        """See BatchInference."""
        with aws_errors():
            name: str = self._bedrock.get_model_invocation_job(jobIdentifier=job)["jobName"]
            if self._key(name, PLAN) not in self._keys(self._key(name, PLAN)):
                raise ConfigurationError(f"{job} is no job of a warm-up: there is no {self._uri(name, PLAN)}")
        return name

    def plan(self, name: str) -> bytes:
        """See BatchInference."""
        with aws_errors():
            return self._get(self._key(name, PLAN))

    def start(self, name: str, model_id: str) -> str:
        """See BatchInference. Raises ConfigurationError without a role."""
        with aws_errors():
            if self._key(name, JOB) in self._keys(self._key(name, JOB)):
                job: str = json.loads(self._get(self._key(name, JOB)))["job"]
            else:
                job = self._found(name) or self._create(name, model_id)
                self._put(name, JOB, json.dumps({"job": job}).encode())
        return job

    def status(self, job: str) -> JobStatus:
        """See BatchInference."""
        with aws_errors():
            answer = self._bedrock.get_model_invocation_job(jobIdentifier=job)
        status, message = answer.get("status", "Submitted"), answer.get("message")
        return JobStatus(
            state=STATES.get(status, JobState.RUNNING),
            detail=f"{status}: {message}" if message else status,
            processed=answer.get("processedRecordCount", 0),
            total=answer.get("totalRecordCount", 0),
        )

    def answers(self, name: str, job: str) -> Iterator[BatchAnswer]:
        """See BatchInference."""
        folder = self._key(name, f"output/{job.rpartition('/')[2]}/")
        with aws_errors():
            for key in self._keys(folder):
                if key.endswith(".jsonl.out"):
                    body = self._s3.get_object(Bucket=self._bucket, Key=key)["Body"]
                    yield from (_answer(line) for line in body.iter_lines(CHUNK_BYTES) if line.strip())

    def close(self, name: str, report: bytes) -> None:
        """See BatchInference."""
        with aws_errors():
            self._put(name, REPORT, report)

    def _found(self, name: str) -> str | None:
        # a process that ended between creating the job and noting it must not pay twice
        jobs = self._bedrock.list_model_invocation_jobs(nameContains=name)["invocationJobSummaries"]
        return next((str(job["jobArn"]) for job in jobs if job["jobName"] == name), None)

    def _create(self, name: str, model_id: str) -> str:
        if self._role_arn is None:
            raise ConfigurationError(
                "a batch needs the role that Bedrock takes on to read and write the bucket: deploy with "
                "BatchInference=true, or name one with --batch-role or FLAGRANK_BATCH_ROLE"
            )
        source, target = (self._uri(name, entry) for entry in (RECORDS, "output/"))
        answer = self._bedrock.create_model_invocation_job(
            jobName=name,
            # two processes that begin the same batch at once get the same job
            clientRequestToken=name,
            roleArn=self._role_arn,
            modelId=model_id,
            modelInvocationType="Converse",
            inputDataConfig={"s3InputDataConfig": {"s3InputFormat": "JSONL", "s3Uri": source}},
            outputDataConfig={"s3OutputDataConfig": {"s3Uri": target}},
        )
        return str(answer["jobArn"])

    def _keys(self, prefix: str) -> Iterator[str]:
        for page in self._s3.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix):
            yield from (entry["Key"] for entry in page.get("Contents", ()))

    def _get(self, key: str) -> bytes:
        body: bytes = self._s3.get_object(Bucket=self._bucket, Key=key)["Body"].read()
        return body

    def _put(self, name: str, entry: str, body: bytes) -> None:
        self._s3.put_object(Bucket=self._bucket, Key=self._key(name, entry), Body=body)

    def _uri(self, name: str, entry: str) -> str:
        return f"s3://{self._bucket}/{self._key(name, entry)}"

    def _key(self, name: str, entry: str) -> str:
        return f"{self._prefix}/{name}/{entry}"


def _line(record: BatchRecord, model_id: str) -> bytes:
    body = plain_body(record.prompt, model_id, record.max_output_tokens)
    return json.dumps({"recordId": record.record_id, "modelInput": body}).encode() + b"\n"


def _answer(line: bytes) -> BatchAnswer:
    try:
        found = json.loads(line)
        record_id = str(found["recordId"])
    except (ValueError, KeyError, TypeError):
        return BatchAnswer("", None, "a line that is no record")
    if "error" in found:
        return BatchAnswer(record_id, None, _words(found["error"]))
    try:
        completion = completion_of(found["modelOutput"])
        tokens = completion.input_tokens + completion.output_tokens
    except (AttributeError, KeyError, TypeError):
        return BatchAnswer(record_id, None, UNREADABLE)
    return BatchAnswer(record_id, completion) if type(tokens) is int else BatchAnswer(record_id, None, UNREADABLE)


def _words(error: Any) -> str:
    return f"{error.get('errorCode')} {error.get('errorMessage')}" if isinstance(error, dict) else str(error)
