"""Artifact sets on disk and a bucket to publish them to."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

from flagrank.model.artifacts import MANIFEST, parse_manifest
from flagrank.model.encoding import encode
from flagrank.offline.publishing import artifact_folder
from tests.factories import make_factors

CREATED = "2026-01-02T03:04:05+00:00"
BUCKET = "factors-bucket"


def make_files(seed: int = 0) -> dict[str, bytes]:
    """A small set's files; another seed is another version."""
    return encode(make_factors(items=6, users=3, seed=seed), created=CREATED, training={})


def version_of(files: dict[str, bytes]) -> str:
    """The version that a set's manifest names."""
    return parse_manifest(files[MANIFEST]).version


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a set in it."""
    made = tmp_path / "set"
    artifact_folder.save(make_files(), made)
    return made


@contextmanager
def mocked_s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """S3 inside of this process, with one empty bucket; yields a client."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(name, "testing")
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    with mock_aws():
        client = boto3.client("s3", region_name="us-east-1")
        client.create_bucket(Bucket=BUCKET)
        yield client
        client.close()


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """S3 for one test."""
    with mocked_s3(monkeypatch) as client:
        yield client
