"""Fixtures for this folder."""

from tests.adapters.fixtures import bucket, clock, cloud_url, dynamodb, s3, sqs, table, wire

__all__ = ["bucket", "clock", "cloud_url", "dynamodb", "s3", "sqs", "table", "wire"]
