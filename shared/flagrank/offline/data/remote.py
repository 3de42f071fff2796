"""`s3://BUCKET/KEY` as a source: a file, or what lies under a prefix, fetched into a folder that is read at once."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any

from flagrank.errors import DataError

S3 = "s3://"
# a folder of data has three files; a prefix that holds more is a data lake, and not meant
MAX_FILES = 20


def is_remote(data: str) -> bool:
    """Whether it lies in S3."""
    return data.startswith(S3)


@contextmanager
def fetched(data: str, client: Any) -> Iterator[Path]:
    """The file or folder on disk, while the block lasts; raises DataError if there is none, or more than MAX_FILES."""
    address = re.fullmatch(r"s3://([a-z0-9][a-z0-9.-]+)/?(.*)", data)
    if address is None:
        raise DataError(data, None, "expected s3://BUCKET/KEY")
    bucket, key = address[1], address[2]
    with TemporaryDirectory(prefix="flagrank-data-") as scratch:
        keys = _keys(client, bucket, key)
        if not keys:
            raise DataError(data, None, "no such object, and nothing under it as a folder")
        if len(keys) > MAX_FILES:
            raise DataError(data, None, f"expected at most {MAX_FILES} files under it, found more; name one of them")
        name = PurePosixPath(key).name or bucket
        for found in keys:
            target = Path(scratch) / name / PurePosixPath(found).name
            target.parent.mkdir(exist_ok=True)
            with target.open("wb") as file:
                file.writelines(client.get_object(Bucket=bucket, Key=found)["Body"].iter_chunks(1 << 20))
        folder = Path(scratch) / name
        yield folder / name if keys == [key] else folder


def _keys(client: Any, bucket: str, key: str) -> list[str]:
    """The object itself, else the objects directly under it as a folder."""
    if key and not key.endswith("/"):
        listed = client.list_objects_v2(Bucket=bucket, Prefix=key, MaxKeys=1).get("Contents", [])
        if [entry["Key"] for entry in listed] == [key]:
            return [key]
    prefix = key.rstrip("/") + "/" if key else ""
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix, Delimiter="/")
    entries = [entry["Key"] for page in pages for entry in page.get("Contents", [])]
    return [entry for entry in entries if not entry.endswith("/")]
