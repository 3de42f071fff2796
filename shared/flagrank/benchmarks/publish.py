"""Publishing a set to S3 and loading it, beside the bare transfer of the same bytes."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from flagrank.adapters.s3_factors import S3FactorStore
from flagrank.adapters.system_clock import SystemClock
from flagrank.benchmarks.aws import aws_client
from flagrank.benchmarks.results import OURS, Row, compared
from flagrank.benchmarks.shops import made_up, zipf_texts
from flagrank.benchmarks.timing import interleaved
from flagrank.local import seed
from flagrank.local.cloud import BUCKET
from flagrank.model.encoding import encode
from flagrank.offline.publishing import artifact_folder
from flagrank.offline.publishing.publish import publish

ROUNDS = 5
# items, and users
FULL, TINY = (50_000, 20_000), (300, 50)
BARE_PUT, BARE_GET = "bare PutObject", "bare GetObject"


def measure(tiny: bool) -> Iterator[Row]:
    """Wall time against a stand-in for S3 on loopback; each publication is of a set that the bucket lacks."""
    items, users = TINY if tiny else FULL
    rounds = 2 if tiny else ROUNDS
    with aws_client("s3") as client, tempfile.TemporaryDirectory() as folder:
        seed.create_bucket(client, BUCKET)
        made = Path(folder) / "set"
        factors = made_up(items, users, texts=zipf_texts(items))
        artifact_folder.save(encode(factors, created="2026-01-01T00:00:00+00:00", training={}), made)
        files = {path.name: path.read_bytes() for path in made.iterdir() if path.is_file()}
        facts = {OURS: {"mb": sum(map(len, files.values())) / 1e6, "files": float(len(files))}}
        case = f"{items:,} items, {users:,} users"
        published = interleaved(
            {
                OURS: lambda n: publish(made, client, BUCKET, prefix=f"ours-{n}"),
                BARE_PUT: lambda n: _put(client, f"bare-{n}", files),
            },
            rounds,
            warm_up=0,
            wall=True,
        )
        yield from compared(f"publish {case}", published, unit="ms", facts=facts)
        publish(made, client, BUCKET)
        loaded = interleaved(
            {
                OURS: lambda _: _store(client).current(),
                BARE_GET: lambda _: _get(client, "bare-0", files),
            },
            rounds,
            warm_up=0,
            wall=True,
        )
        yield from compared(f"load {case}", loaded, unit="ms", facts=facts)


def _store(client: Any) -> S3FactorStore:
    return S3FactorStore(client, BUCKET, SystemClock())


def _put(client: Any, prefix: str, files: dict[str, bytes]) -> None:
    for name, data in files.items():
        client.put_object(Bucket=BUCKET, Key=f"{prefix}/{name}", Body=data)


def _get(client: Any, prefix: str, files: dict[str, bytes]) -> None:
    for name in files:
        client.get_object(Bucket=BUCKET, Key=f"{prefix}/{name}")["Body"].read()
