"""Fixtures for this folder."""

from tests.adapters.fixtures import bucket, clock, cloud_url, dynamodb, s3, source, table, wire
from tests.adapters.guard_account import account

__all__ = ["account", "bucket", "clock", "cloud_url", "dynamodb", "s3", "source", "table", "wire"]
