"""What a stand-in counts of the calls that it answers."""

import json
import urllib.request
from typing import Any

import boto3
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

from flagrank.local.calls import CountedCalls
from tests.local.conftest import Serve


def counts(url: str) -> dict[str, int]:
    with urllib.request.urlopen(f"{url}/_calls", timeout=5) as answer:
        found: dict[str, int] = json.loads(answer.read())
    return found


def test_calls_are_counted_by_service_and_operation(serve: Serve) -> None:
    """By what real clients sign; whoever looks at the stand-in's own pages is not counted."""
    app = Starlette(routes=[Route("/{path:path}", lambda _: JSONResponse({}), methods=["GET", "POST", "PUT"])])
    url = serve(CountedCalls(app))  # type: ignore[arg-type] # any ASGI application will do

    def client(service: str) -> Any:
        keys = {"aws_access_key_id": "a", "aws_secret_access_key": "b"}
        return boto3.client(service, endpoint_url=url, region_name="us-east-1", **keys)

    dynamodb, s3, sqs, appconfig = (client(name) for name in ("dynamodb", "s3", "sqs", "appconfigdata"))
    dynamodb.get_item(TableName="some", Key={"pk": {"S": "x"}})
    s3.get_object(Bucket="bucket", Key="key")
    sqs.delete_message(QueueUrl=f"{url}/1/queue", ReceiptHandle="x")
    appconfig.get_latest_configuration(ConfigurationToken="x")
    urllib.request.urlopen(f"{url}/_statistics", timeout=5).close()
    assert counts(url) == {
        "dynamodb.GetItem": 1,
        "s3.GetObject": 1,
        "sqs.DeleteMessage": 1,
        "appconfig.GetLatestConfiguration": 1,
    }
