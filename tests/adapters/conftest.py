"""Fixtures for this folder."""

from tests.adapters.control.guard_account import account
from tests.adapters.fixtures import bucket, clock, cloud_url, dynamodb, s3, source, sqs, table, wire

__all__ = ["account", "bucket", "clock", "cloud_url", "dynamodb", "s3", "source", "sqs", "table", "wire"]
