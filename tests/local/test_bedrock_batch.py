"""Batch inference from end to end: the real adapter, the stand-ins of S3 and Bedrock, real HTTP."""

import time
from collections.abc import Iterator
from typing import Any

import httpx
import orjson
import pytest
from botocore.validate import ParamValidator

from flagrank.adapters.bedrock_batch import BedrockBatch
from flagrank.errors import CloudError, ConfigurationError
from flagrank.local.bedrock import LLMBehaviour, create_app
from flagrank.local.clients import introduce
from flagrank.rerank.answers import COMPACT
from flagrank.rerank.batch_inference import BatchAnswer, BatchRecord, JobState, JobStatus
from flagrank.rerank.parsing import parse_answer
from flagrank.rerank.prompting import build_prompt
from tests.adapters.cloud import aws_stand_in, new_bucket
from tests.adapters.loopback import REGION, client
from tests.local.conftest import Serve, served

FLAWLESS = LLMBehaviour(latency_ms=0, ms_per_input_token=0, ms_per_output_token=0, malformed=0)
ROLE = "arn:aws:iam::123456789012:role/batch"
MODEL = "amazon.nova-lite-v1:0"
NAME = "warm-20270115T080000-0123abcd"


@pytest.fixture(scope="module")
def aws_url() -> Iterator[str]:
    with aws_stand_in() as url:
        yield url


@pytest.fixture
def bucket(aws_url: str) -> str:
    return new_bucket(client("s3", aws_url))


class Cloud:
    """An adapter, what is under it, and the stand-in's address."""

    def __init__(self, url: str, aws_url: str, bucket: str, role: str | None = ROLE) -> None:
        keys = {"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local"}
        introduce(url, {"AWS_ENDPOINT_URL": aws_url, "AWS_REGION": REGION, **keys})
        self.url, self.bucket = url, bucket
        self.s3, self.bedrock = client("s3", aws_url), client("bedrock", url)
        self.batch = BedrockBatch(self.bedrock, self.s3, bucket, role)

    def run(self, records: list[BatchRecord]) -> tuple[JobStatus, list[BatchAnswer]]:
        """Writes a batch, waits for its job, and reads the answers."""
        self.batch.prepare(NAME, b"{}", records, MODEL)
        job = self.batch.start(NAME, MODEL)
        status = self.wait(job)
        return status, list(self.batch.answers(NAME, job))

    def wait(self, job: str) -> JobStatus:
        """The status of a job that is over."""
        for _ in range(600):
            status = self.batch.status(job)
            if status.state is not JobState.RUNNING:
                return status
            time.sleep(0.05)
        raise AssertionError(f"the job is still {status.detail}")


@pytest.fixture
def cloud(serve: Serve, aws_url: str, bucket: str) -> Cloud:
    return Cloud(serve(create_app(FLAWLESS)), aws_url, bucket)


def records(count: int = 120) -> list[BatchRecord]:
    return [
        BatchRecord(
            f"R{number:010d}", build_prompt("wireless headset", ["headset wireless", f"pan {number}"], COMPACT), 44
        )
        for number in range(count)
    ]


def test_every_record_is_answered_as_converse_would(cloud: Cloud) -> None:
    """The headset first, in every answer, with the tokens that are billed."""
    status, answers = cloud.run(records())
    assert (status.state, status.processed, status.total) == (JobState.ENDED, 120, 120)
    assert sorted(answer.record_id for answer in answers) == [record.record_id for record in records()]
    for answer in answers:
        assert answer.completion is not None
        scores = parse_answer(answer.completion, 2, COMPACT)
        assert scores[0] > scores[1]
        assert answer.completion.input_tokens > 0


def test_the_files_lie_where_bedrock_puts_them(cloud: Cloud) -> None:
    """Input, plan and job side by side; the output in a folder of the job's id, with a manifest."""
    cloud.run(records())
    folder = f"warm/{NAME}"
    job = orjson.loads(cloud.s3.get_object(Bucket=cloud.bucket, Key=f"{folder}/job.json")["Body"].read())["job"]
    keys = {entry["Key"] for entry in cloud.s3.list_objects_v2(Bucket=cloud.bucket)["Contents"]}
    out = f"{folder}/output/{job.rpartition('/')[2]}"
    assert keys == {
        *(f"{folder}/{name}" for name in ("records.jsonl", "plan.json", "job.json")),
        *(f"{out}/{name}" for name in ("records.jsonl.out", "manifest.json.out")),
    }
    manifest = orjson.loads(cloud.s3.get_object(Bucket=cloud.bucket, Key=f"{out}/manifest.json.out")["Body"].read())
    assert (manifest["totalRecordCount"], manifest["errorRecordCount"]) == (120, 0)
    assert set(manifest) >= {"processedRecordCount", "successRecordCount", "inputTokenCount", "outputTokenCount"}


def test_a_record_is_a_converse_body_without_tools_or_schema(cloud: Cloud) -> None:
    """botocore takes each of them as parameters of Converse; Bedrock fails records that hold more."""
    cloud.batch.prepare(NAME, b"{}", records(2), MODEL)
    body = cloud.s3.get_object(Bucket=cloud.bucket, Key=f"warm/{NAME}/records.jsonl")["Body"].read()
    shape = client("bedrock-runtime", cloud.url).meta.service_model.operation_model("Converse").input_shape
    for line in body.splitlines():
        record = orjson.loads(line)
        assert set(record) == {"recordId", "modelInput"}
        assert set(record["modelInput"]) == {"system", "messages", "inferenceConfig"}
        report = ParamValidator().validate({"modelId": MODEL, **record["modelInput"]}, shape)
        assert not report.has_errors(), report.generate_report()


def test_what_the_stand_in_says_has_the_service_s_shape(cloud: Cloud) -> None:
    """No member that botocore's model does not know, and none missing that it demands."""
    cloud.run(records())
    listed = cloud.bedrock.list_model_invocation_jobs(nameContains=NAME)
    shown = cloud.bedrock.get_model_invocation_job(jobIdentifier=listed["invocationJobSummaries"][0]["jobArn"])
    model = cloud.bedrock.meta.service_model
    for answer, operation in ((listed, "ListModelInvocationJobs"), (shown, "GetModelInvocationJob")):
        del answer["ResponseMetadata"]
        report = ParamValidator().validate(answer, model.operation_model(operation).output_shape)
        assert not report.has_errors(), report.generate_report()
    raw = httpx.get(f"{cloud.url}/model-invocation-jobs").json()["invocationJobSummaries"][0]
    members = model.operation_model("GetModelInvocationJob").output_shape.members
    assert set(raw) <= set(members)


def test_a_batch_has_one_job_however_often_it_is_started(cloud: Cloud) -> None:
    """Also by a process that never learnt that the job was created, and by two at once."""
    cloud.batch.prepare(NAME, b"{}", records(), MODEL)
    first = cloud.batch.start(NAME, MODEL)
    assert cloud.batch.start(NAME, MODEL) == first
    cloud.s3.delete_object(Bucket=cloud.bucket, Key=f"warm/{NAME}/job.json")
    assert cloud.batch.start(NAME, MODEL) == first
    assert len(cloud.bedrock.list_model_invocation_jobs()["invocationJobSummaries"]) == 1
    assert cloud.batch.name_of(first) == NAME


def test_a_batch_is_open_from_its_plan_to_its_report(cloud: Cloud) -> None:
    """Records without a plan are no batch yet, and a closed batch is not found again."""
    cloud.s3.put_object(Bucket=cloud.bucket, Key="warm/half-written/records.jsonl", Body=b"")
    assert cloud.batch.open_batches() == []
    for name in ("warm-2", "warm-1"):
        cloud.batch.prepare(name, b"a plan", records(1), MODEL)
    assert cloud.batch.open_batches() == ["warm-1", "warm-2"]
    assert cloud.batch.plan("warm-1") == b"a plan"
    cloud.batch.close("warm-1", b"{}")
    assert cloud.batch.open_batches() == ["warm-2"]


def test_records_that_fail_are_told_by_the_service_s_words(serve: Serve, aws_url: str, bucket: str) -> None:
    """The others are answered all the same."""
    behaviour = LLMBehaviour(latency_ms=0, ms_per_input_token=0, ms_per_output_token=0, malformed=0, throttled=0.3)
    status, answers = Cloud(serve(create_app(behaviour)), aws_url, bucket).run(records())
    failed = [answer for answer in answers if answer.completion is None]
    assert status.state is JobState.ENDED
    assert 0 < len(failed) < 120
    assert {answer.error for answer in failed} == {"429 Too many requests, please wait before trying again."}


def test_too_few_records_fail_the_job(cloud: Cloud) -> None:
    """As Bedrock does it: some time later, with a message."""
    status, answers = cloud.run(records(99))
    assert (status.state, answers) == (JobState.FAILED, [])
    assert "minimum of 100" in status.detail


def test_lines_that_are_no_answers_are_told_and_stop_nothing(cloud: Cloud) -> None:
    """Whatever was done to the file, the rest of it is read."""
    answer = {"output": {"message": {"content": [{"text": "{}"}]}}, "stopReason": "end_turn"}
    lines = [
        b"no json",
        b"[1]",
        orjson.dumps({"recordId": "R1", "modelOutput": {"output": 3}}),
        orjson.dumps({"recordId": "R2", "modelOutput": {**answer, "usage": {"inputTokens": "1", "outputTokens": "2"}}}),
        orjson.dumps({"recordId": "R3", "modelOutput": {**answer, "usage": [], "output": {"message": []}}}),
        orjson.dumps({"recordId": "R4", "error": 5}),
        b"",
        orjson.dumps({"recordId": "R5", "modelOutput": {**answer, "usage": {"inputTokens": 1, "outputTokens": 2}}}),
    ]
    cloud.s3.put_object(Bucket=cloud.bucket, Key=f"warm/{NAME}/output/j/records.jsonl.out", Body=b"\n".join(lines))
    found = list(cloud.batch.answers(NAME, "arn:aws:bedrock:eu-west-1:123456789012:model-invocation-job/j"))
    assert [answer.record_id for answer in found if answer.completion is None] == ["", "", "R1", "R2", "R3", "R4"]
    assert [answer.record_id for answer in found if answer.completion is not None] == ["R5"]
    assert found[5].error == "5"


def test_without_a_role_it_says_how_to_get_one(serve: Serve, aws_url: str, bucket: str) -> None:
    """Before anything is created."""
    cloud = Cloud(serve(create_app(FLAWLESS)), aws_url, bucket, role=None)
    cloud.batch.prepare(NAME, b"{}", records(1), MODEL)
    with pytest.raises(ConfigurationError, match="BatchInference=true"):
        cloud.batch.start(NAME, MODEL)


def test_a_job_of_somebody_else_is_none_of_ours(cloud: Cloud) -> None:
    """It is named, and so is a job that does not exist."""
    cloud.batch.prepare(NAME, b"{}", records(), MODEL)
    job = cloud.batch.start(NAME, MODEL)
    cloud.s3.delete_object(Bucket=cloud.bucket, Key=f"warm/{NAME}/plan.json")
    with pytest.raises(ConfigurationError, match="no job of a warm-up"):
        cloud.batch.name_of(job)
    with pytest.raises(CloudError, match="not found"):
        cloud.batch.name_of("arn:aws:bedrock:eu-west-1:123456789012:model-invocation-job/aaaaaaaaaaaa")


@pytest.mark.parametrize("missing", ["modelId", "roleArn"])
def test_an_incomplete_job_is_refused(cloud: Cloud, missing: str) -> None:
    """With a ValidationException, as the service does; botocore would not even send it."""
    asked: dict[str, Any] = {
        "jobName": "j",
        "roleArn": ROLE,
        "modelId": MODEL,
        "modelInvocationType": "Converse",
        "inputDataConfig": {"s3InputDataConfig": {"s3Uri": "s3://bucket/in.jsonl"}},
        "outputDataConfig": {"s3OutputDataConfig": {"s3Uri": "s3://bucket/out/"}},
    }
    del asked[missing]
    answer = httpx.post(f"{cloud.url}/model-invocation-job", json=asked)
    assert (answer.status_code, answer.headers["x-amzn-errortype"]) == (400, "ValidationException")


@pytest.mark.parametrize("member", ["toolConfig", "outputConfig"])
def test_a_record_with_tools_or_a_schema_fails_by_itself(cloud: Cloud, member: str) -> None:
    """The others do not notice."""
    lines = [
        {"recordId": f"R{number}", "modelInput": {"messages": [{"content": [{"text": "?"}]}]}} for number in range(100)
    ]
    lines[7]["modelInput"] = {**lines[7]["modelInput"], member: {}}  # type: ignore[dict-item]
    cloud.batch.prepare(NAME, b"{}", [], MODEL)
    body = b"\n".join(orjson.dumps(line) for line in lines)
    cloud.s3.put_object(Bucket=cloud.bucket, Key=f"warm/{NAME}/records.jsonl", Body=body)
    job = cloud.batch.start(NAME, MODEL)
    cloud.wait(job)
    failed = [answer for answer in cloud.batch.answers(NAME, job) if answer.completion is None]
    assert [(answer.record_id, (answer.error or "")[:3]) for answer in failed] == [("R7", "400")]


def test_a_stand_in_that_knows_no_cloud_fails_the_job() -> None:
    """A job is never left in progress for ever."""
    with served(create_app(FLAWLESS)) as url:
        bedrock = client("bedrock", url)
        job = bedrock.create_model_invocation_job(
            jobName="j",
            roleArn=ROLE,
            modelId=MODEL,
            modelInvocationType="Converse",
            inputDataConfig={"s3InputDataConfig": {"s3Uri": "s3://bucket/in.jsonl"}},
            outputDataConfig={"s3OutputDataConfig": {"s3Uri": "s3://bucket/out/"}},
        )["jobArn"]
        for _ in range(100):
            status = bedrock.get_model_invocation_job(jobIdentifier=job)["status"]
            if status == "Failed":
                break
            time.sleep(0.05)
        assert status == "Failed"
