"""Fixtures that the adapter and contract tests share."""

from collections.abc import Iterator
from typing import Any

import pytest

from flagrank.adapters.appconfig_flags import AppConfigFlagSource
from flagrank.adapters.in_memory import ManualClock
from tests.adapters.cloud import aws_stand_in, new_bucket, new_table
from tests.adapters.loopback import AppConfigWire, client

FLAG_POLL_S = 15
FLAG_MAX_AGE_S = 600.0


@pytest.fixture(scope="session")
def cloud_url() -> Iterator[str]:
    with aws_stand_in() as url:
        yield url


@pytest.fixture(scope="session")
def s3(cloud_url: str) -> Iterator[Any]:
    made = client("s3", cloud_url)
    yield made
    made.close()


@pytest.fixture(scope="session")
def dynamodb(cloud_url: str) -> Iterator[Any]:
    made = client("dynamodb", cloud_url)
    yield made
    made.close()


@pytest.fixture(scope="session")
def sqs(cloud_url: str) -> Iterator[Any]:
    made = client("sqs", cloud_url)
    yield made
    made.close()


@pytest.fixture
def bucket(s3: Any) -> str:
    return new_bucket(s3)


@pytest.fixture
def table(dynamodb: Any) -> str:
    return new_table(dynamodb)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def wire() -> Iterator[AppConfigWire]:
    made = AppConfigWire()
    with made.server:
        yield made


@pytest.fixture
def source(wire: AppConfigWire, clock: ManualClock) -> AppConfigFlagSource:
    return AppConfigFlagSource(
        client("appconfigdata", wire.server.url),
        application="flagrank",
        environment="test",
        profile="rerank",
        clock=clock,
        poll_s=FLAG_POLL_S,
        max_age_s=FLAG_MAX_AGE_S,
    )
