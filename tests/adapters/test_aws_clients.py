"""How the clients wait."""

from typing import Any

import boto3
import pytest

from flagrank.adapters import aws_clients


@pytest.fixture(autouse=True)
def aws_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What Lambda sets, with an endpoint of our own."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)


def made() -> dict[str, Any]:
    return {
        "s3": aws_clients.s3_client(),
        "appconfigdata": aws_clients.appconfigdata_client(),
        "dynamodb": aws_clients.dynamodb_client(20),
        "bedrock-runtime": aws_clients.bedrock_client(250, 20),
    }


def test_each_purpose_has_its_client_at_the_configured_endpoint() -> None:
    """`AWS_ENDPOINT_URL` reaches all of them: no code path is the tests' own."""
    for service, made_client in made().items():
        assert made_client.meta.endpoint_url == "http://127.0.0.1:9"
        assert made_client.meta.service_model.service_name == service


def test_no_client_waits_long_to_connect_and_none_keeps_dead_connections() -> None:
    """Every connect timeout is at most a second, and keep-alive is on."""
    for made_client in made().values():
        assert made_client.meta.config.connect_timeout <= 1
        assert made_client.meta.config.tcp_keepalive is True


@pytest.mark.parametrize("service", ["appconfigdata", "dynamodb", "bedrock-runtime"])
def test_nothing_on_a_request_s_path_is_retried(service: str) -> None:
    """One attempt: a timeout is what it says and not a multiple."""
    assert made()[service].meta.config.retries["total_max_attempts"] == 1


def test_the_llm_s_timeout_bounds_connecting_and_reading() -> None:
    """A call budget of 250 ms is 0.25 s for either."""
    config = aws_clients.bedrock_client(250, 20).meta.config
    assert (config.connect_timeout, config.read_timeout) == (0.25, 0.25)
    assert aws_clients.bedrock_client(4000, 20).meta.config.connect_timeout == 1


def test_there_are_as_many_connections_as_parallel_calls() -> None:
    """No call waits for another's connection."""
    clients = made()
    assert clients["bedrock-runtime"].meta.config.max_pool_connections == 20
    assert clients["dynamodb"].meta.config.max_pool_connections == 20


def test_an_operator_does_not_wait_for_a_silent_service() -> None:
    """At most a second to connect and five to read, once, or twice where that is asked for."""
    once, twice = aws_clients.operator_client("cloudwatch"), aws_clients.operator_client("appconfig", attempts=2)
    assert (once.meta.config.read_timeout, once.meta.config.connect_timeout) == (5, 1)
    assert [made.meta.config.retries["total_max_attempts"] for made in (once, twice)] == [1, 2]


def test_the_region_may_have_either_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """botocore itself reads AWS_DEFAULT_REGION alone."""
    monkeypatch.setenv("AWS_REGION", "eu-north-1")
    assert aws_clients.operator_client("appconfig").meta.region_name == "eu-north-1"
    monkeypatch.delenv("AWS_REGION")
    assert aws_clients.operator_client("appconfig").meta.region_name == "eu-west-1"
