"""What a command learns of a deployed stack, through boto3 to stubs that know the services' shapes."""

import datetime as dt
import os
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from flagrank.adapters import aws_clients
from flagrank.cli.target import LOCAL_BATCH_ROLE, Target, enter_local_cloud

FUNCTION = "flagrank-RecommendFunction-1A2B"
VARIABLES = {"FLAGRANK_BUCKET": "flagrank-factors", "FLAGRANK_TABLE": "scores", "OPENBLAS_NUM_THREADS": "1"}
ROLE = "arn:aws:iam::123456789012:role/flagrank-BatchRole-1A2B"
MADE = dt.datetime(2027, 1, 15, tzinfo=dt.UTC)


@pytest.fixture
def stubs(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Stubber]]:
    """A stub of each service that commands ask, by its name."""
    keys = {"aws_access_key_id": "x", "aws_secret_access_key": "x", "region_name": "eu-west-1"}
    made = {name: Stubber(boto3.client(name, **keys)) for name in ("cloudformation", "lambda")}
    monkeypatch.setattr(aws_clients, "operator_client", lambda service, attempts=1: made[service].client)
    for stub in made.values():
        stub.activate()
    yield made
    for stub in made.values():
        stub.assert_no_pending_responses()


def describe(stubs: dict[str, Stubber], outputs: dict[str, str]) -> None:
    """Has the stack described with these outputs."""
    stack: dict[str, Any] = {"StackName": "shop", "CreationTime": MADE, "StackStatus": "CREATE_COMPLETE"}
    stack["Outputs"] = [{"OutputKey": key, "OutputValue": value} for key, value in outputs.items()]
    stubs["cloudformation"].add_response("describe_stacks", {"Stacks": [stack]}, {"StackName": "shop"})


def test_settings_are_those_of_the_version_that_serves(stubs: dict[str, Stubber]) -> None:
    """The alias that requests reach is asked, so that a warm-up judges by what serves."""
    resource = {
        "PhysicalResourceId": FUNCTION,
        "LogicalResourceId": "RecommendFunction",
        "ResourceType": "AWS::Lambda::Function",
        "LastUpdatedTimestamp": MADE,
        "ResourceStatus": "CREATE_COMPLETE",
    }
    stubs["cloudformation"].add_response(
        "describe_stack_resource",
        {"StackResourceDetail": resource},
        {"StackName": "shop", "LogicalResourceId": "RecommendFunction"},
    )
    stubs["lambda"].add_response(
        "get_function_configuration",
        {"Environment": {"Variables": VARIABLES}},
        {"FunctionName": FUNCTION, "Qualifier": "live"},
    )
    assert Target(stack="shop").variables() == VARIABLES


@pytest.mark.parametrize(("outputs", "role"), [({"BatchRoleArn": ROLE}, ROLE), ({"TableName": "scores"}, None)])
def test_the_batch_s_role_is_the_stack_s(stubs: dict[str, Stubber], outputs: dict[str, str], role: str | None) -> None:
    """None where the stack was deployed without one."""
    describe(stubs, outputs)
    assert Target(stack="shop").batch_role() == role


def test_a_local_cloud_has_a_role_of_its_own() -> None:
    """Its stand-in asks for none in particular."""
    assert Target(local=8080).batch_role() == LOCAL_BATCH_ROLE


def test_in_a_local_cloud_nothing_of_the_shell_s_aws_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """No profile, file, flag name or proxy of the developer's can reach a client; the rest of the shell stays."""
    shell = {
        "PATH": "/bin",
        "AWS_PROFILE": "work",
        "AWS_ENDPOINT_URL_S3": "https://s3.example",
        "FLAGRANK_STACK": "production",
        "HTTPS_PROXY": "http://proxy.example",
    }
    monkeypatch.setattr(os, "environ", dict(shell))
    enter_local_cloud({"AWS_ENDPOINT_URL": "http://127.0.0.1:1", "FLAGRANK_TABLE": "scores"})
    assert os.environ == {
        "PATH": "/bin",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
        "FLAGRANK_TABLE": "scores",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }
