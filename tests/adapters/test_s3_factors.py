"""The factor store over S3: what can go wrong between a publisher and a reader."""

import hashlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import orjson
import pytest

from flagrank.adapters.in_memory import InlineExecutor, ManualClock
from flagrank.adapters.s3_factors import RETRY_S, S3FactorStore, Sizes
from flagrank.errors import FactorsUnavailable
from flagrank.model.factors import Factors
from flagrank.ports import ReloadCounts
from tests.adapters.cloud import aws_stand_in, new_bucket, point, publish
from tests.adapters.loopback import client
from tests.factories import make_factors

POLL_S = 60.0
SMALL_PART_BYTES = 1000


@pytest.fixture
def store(s3: Any, bucket: str, clock: ManualClock) -> S3FactorStore:
    return S3FactorStore(s3, bucket, clock, poll_s=POLL_S, executor=InlineExecutor())


class Requests:
    """Counts a client's requests by operation and key, and may interfere before one is sent."""

    def __init__(self, s3: Any) -> None:
        self.seen: list[tuple[str, dict[str, Any]]] = []
        self.before: Callable[[str, dict[str, Any]], None] = lambda operation, parameters: None
        self._lock = threading.Lock()
        s3.meta.events.register("provide-client-params.s3", self._record)

    def of(self, operation: str) -> list[dict[str, Any]]:
        return [parameters for name, parameters in self.seen if name == operation]

    def _record(self, params: dict[str, Any], model: Any, **_: Any) -> None:
        with self._lock:
            self.seen.append((model.name, dict(params)))
        self.before(model.name, params)


@pytest.fixture
def own_s3(cloud_url: str) -> Iterator[Any]:
    """A client whose events this test alone listens to."""
    made = client("s3", cloud_url)
    yield made
    made.close()


def test_a_large_file_is_read_in_parts_that_make_up_the_whole(own_s3: Any, bucket: str, clock: ManualClock) -> None:
    """Ranged reads, all conditional on one ETag, give the same factors as whole ones."""
    given = make_factors(items=200)
    publish(own_s3, bucket, given)
    requests = Requests(own_s3)
    store = S3FactorStore(own_s3, bucket, clock, sizes=Sizes(SMALL_PART_BYTES))
    np.testing.assert_array_equal(store.current().item_factors, given.item_factors)
    parts = [read for read in requests.of("GetObject") if read["Key"].endswith("item_factors.npy")]
    spans = sorted(tuple(map(int, part["Range"].removeprefix("bytes=").split("-"))) for part in parts)
    size = 200 * 8 * 4 + 128
    assert spans == [(start, min(start + SMALL_PART_BYTES, size) - 1) for start in range(0, size, SMALL_PART_BYTES)]
    assert len({part["IfMatch"] for part in parts}) == 1


def test_a_small_file_is_one_request(own_s3: Any, bucket: str, clock: ManualClock) -> None:
    """Below the part size there is neither a range nor a look ahead."""
    publish(own_s3, bucket, make_factors())
    requests = Requests(own_s3)
    S3FactorStore(own_s3, bucket, clock).current()
    assert not requests.of("HeadObject")
    assert all("Range" not in read for read in requests.of("GetObject"))


def test_a_file_that_is_replaced_between_its_parts_is_not_mixed(own_s3: Any, bucket: str, clock: ManualClock) -> None:
    """The ETag of the first look fails the parts of the second content."""
    version = publish(own_s3, bucket, make_factors(items=200))
    key = f"factors/{version}/item_factors.npy"
    requests = Requests(own_s3)
    replaced = threading.Event()

    def replace_once(operation: str, parameters: dict[str, Any]) -> None:
        if operation == "GetObject" and parameters["Key"] == key and not replaced.is_set():
            replaced.set()
            own_s3.put_object(Bucket=bucket, Key=key, Body=b"x" * (200 * 8 * 4 + 128))

    requests.before = replace_once
    store = S3FactorStore(own_s3, bucket, clock, sizes=Sizes(SMALL_PART_BYTES))
    with pytest.raises(FactorsUnavailable, match="PreconditionFailed"):
        store.current()


def test_a_large_file_that_is_shorter_than_promised_is_refused(s3: Any, bucket: str, clock: ManualClock) -> None:
    """Its size says so before its parts are read, instead of leaving zeros behind."""
    version = publish(s3, bucket, make_factors(items=200))
    key = f"factors/{version}/item_factors.npy"
    content = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    s3.put_object(Bucket=bucket, Key=key, Body=content[:-1])
    store = S3FactorStore(s3, bucket, clock, sizes=Sizes(SMALL_PART_BYTES))
    with pytest.raises(FactorsUnavailable, match="6527 bytes, promised 6528"):
        store.current()


def test_an_empty_bucket_is_named(store: S3FactorStore, bucket: str) -> None:
    """Whoever reads the 503's reason knows where to publish to."""
    with pytest.raises(FactorsUnavailable, match=f"s3://{bucket}/factors: current.json does not exist"):
        store.current()


def test_while_there_is_nothing_s3_is_asked_at_most_once_a_second(own_s3: Any, bucket: str, clock: ManualClock) -> None:
    """A hundred failing requests are one look; a second later there is another."""
    requests = Requests(own_s3)
    store = S3FactorStore(own_s3, bucket, clock)
    for _ in range(100):
        with pytest.raises(FactorsUnavailable):
            store.current()
    assert len(requests.seen) == 1
    clock.advance(RETRY_S)
    with pytest.raises(FactorsUnavailable):
        store.current()
    assert len(requests.seen) == 2


def test_between_polls_s3_is_not_asked(own_s3: Any, bucket: str, clock: ManualClock) -> None:
    """Within the poll interval a request costs no call."""
    publish(own_s3, bucket, make_factors())
    store = S3FactorStore(own_s3, bucket, clock, poll_s=POLL_S, executor=InlineExecutor())
    store.current()
    requests = Requests(own_s3)
    clock.advance(POLL_S - 1)
    store.current()
    assert requests.seen == []


def test_an_unchanged_pointer_loads_nothing(own_s3: Any, bucket: str, clock: ManualClock) -> None:
    """A poll that finds the version in force reads the pointer alone."""
    publish(own_s3, bucket, make_factors())
    store = S3FactorStore(own_s3, bucket, clock, poll_s=POLL_S, executor=InlineExecutor())
    before = store.current()
    requests = Requests(own_s3)
    clock.advance(POLL_S)
    assert store.current() is before
    assert [read["Key"] for _, read in requests.seen] == ["factors/current.json"]


def test_a_reload_happens_behind_the_requests(s3: Any, bucket: str, clock: ManualClock) -> None:
    """While the newer set loads, the old one answers, and no second load begins."""
    old = publish(s3, bucket, make_factors(seed=1))
    held: list[Callable[[], object]] = []

    class Held(InlineExecutor):
        def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
            if made._factors is None:
                return super().submit(fn, *args, **kwargs)
            held.append(lambda: fn(*args, **kwargs))
            return Future()

    made = S3FactorStore(s3, bucket, clock, poll_s=POLL_S, executor=Held())
    made.current()
    new = publish(s3, bucket, make_factors(seed=2))
    clock.advance(POLL_S)
    assert [made.current().version for _ in range(3)] == [old] * 3
    assert len(held) == 1
    held[0]()
    assert made.current().version == new


def test_a_set_is_warm_before_it_comes_into_force(
    s3: Any, bucket: str, clock: ManualClock, store: S3FactorStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first set and a reloaded one: while a set still computes, requests get the one before."""
    first = publish(s3, bucket, make_factors(seed=1))
    assert "popular_rows" in vars(store.current())
    second = publish(s3, bucket, make_factors(seed=2))
    in_force: list[str] = []
    warm = Factors.warm

    def watched(factors: Factors) -> None:
        in_force.append(store.current().version)
        warm(factors)

    monkeypatch.setattr(Factors, "warm", watched)
    clock.advance(POLL_S)
    store.current()
    assert in_force == [first]
    assert store.current().version == second
    assert "popular_rows" in vars(store.current())


def test_the_first_request_waits_for_the_load_and_a_later_one_does_not(
    s3: Any, bucket: str, clock: ManualClock
) -> None:
    """Both loads run on the store's own thread."""
    publish(s3, bucket, make_factors(seed=1))
    with ThreadPoolExecutor(1) as background:
        store = S3FactorStore(s3, bucket, clock, poll_s=POLL_S, executor=background)
        store.current()
        new = publish(s3, bucket, make_factors(seed=2))
        clock.advance(POLL_S)
        store.current()
    assert store.current().version == new


@pytest.mark.parametrize("name", ["item_factors.npy", "catalog.jsonl", "manifest.json"])
@pytest.mark.parametrize("damage", ["corrupt", "missing"])
def test_a_damaged_newer_set_never_replaces_a_good_one(
    s3: Any, bucket: str, clock: ManualClock, store: S3FactorStore, name: str, damage: str
) -> None:
    """A wrong checksum and a missing file are counted, and the old set goes on."""
    good = publish(s3, bucket, make_factors(seed=1))
    assert store.current().version == good
    bad = publish(s3, bucket, make_factors(seed=2))
    key = f"factors/{bad}/{name}"
    if damage == "missing":
        s3.delete_object(Bucket=bucket, Key=key)
    else:
        content = bytearray(s3.get_object(Bucket=bucket, Key=key)["Body"].read())
        content[len(content) // 2] ^= 0xFF
        s3.put_object(Bucket=bucket, Key=key, Body=bytes(content))
    clock.advance(POLL_S)
    assert store.current().version == good
    assert store.drain_reloads() == ReloadCounts(failed=1)


@pytest.mark.parametrize("pointer", [b"", b"{}", b'{"version": "no-such-version", "activated": "now"}', b"\xff"])
def test_a_broken_pointer_never_takes_the_factors_away(
    s3: Any, bucket: str, clock: ManualClock, store: S3FactorStore, pointer: bytes
) -> None:
    """Whatever the pointer says, what was verified stays."""
    good = publish(s3, bucket, make_factors())
    store.current()
    s3.put_object(Bucket=bucket, Key="factors/current.json", Body=pointer)
    clock.advance(POLL_S)
    assert store.current().version == good
    assert store.drain_reloads() == ReloadCounts(failed=1)


def test_a_manifest_of_another_version_is_refused(s3: Any, bucket: str, store: S3FactorStore) -> None:
    """A set that was copied under another name is not the set that the pointer means."""
    version = publish(s3, bucket, make_factors())
    for listed in s3.list_objects_v2(Bucket=bucket, Prefix=f"factors/{version}/")["Contents"]:
        copy = listed["Key"].replace(version, "20990101-ffffffffffff")
        s3.copy_object(Bucket=bucket, Key=copy, CopySource={"Bucket": bucket, "Key": listed["Key"]})
    point(s3, bucket, "20990101-ffffffffffff")
    with pytest.raises(FactorsUnavailable, match=f"is of {version}"):
        store.current()


def damage(s3: Any, bucket: str, version: str) -> None:
    """Makes a set that publishers before this release would have put into force: hashes are right, a line is not."""
    prefix = f"factors/{version}/"
    manifest = orjson.loads(s3.get_object(Bucket=bucket, Key=f"{prefix}manifest.json")["Body"].read())
    lines = s3.get_object(Bucket=bucket, Key=f"{prefix}catalog.jsonl")["Body"].read().splitlines()
    catalog = b"\n".join([b"{", *lines[1:]])
    manifest["files"]["catalog.jsonl"] |= {"size": len(catalog), "sha256": hashlib.sha256(catalog).hexdigest()}
    s3.put_object(Bucket=bucket, Key=f"{prefix}catalog.jsonl", Body=catalog)
    s3.put_object(Bucket=bucket, Key=f"{prefix}manifest.json", Body=orjson.dumps(manifest))


def test_a_new_environment_that_cannot_take_a_set_serves_the_one_before(
    s3: Any, bucket: str, clock: ManualClock, store: S3FactorStore, caplog: pytest.LogCaptureFixture
) -> None:
    """As the environments do that were there before; it is counted, and the log names both."""
    good = publish(s3, bucket, make_factors(seed=1))
    bad = publish(s3, bucket, make_factors(seed=2))
    damage(s3, bucket, bad)
    point(s3, bucket, bad, previous=good)
    assert store.current().version == good
    assert "popular_rows" in vars(store.current())
    assert store.drain_reloads() == ReloadCounts(failed=1)
    assert f"factors {bad} cannot be served" in caplog.text
    assert f"trying {good}" in caplog.text


def test_an_environment_that_fell_back_takes_the_next_good_set(
    s3: Any, bucket: str, clock: ManualClock, store: S3FactorStore
) -> None:
    """Falling back is no state of its own: the next poll follows the pointer again."""
    good = publish(s3, bucket, make_factors(seed=1))
    bad = publish(s3, bucket, make_factors(seed=2))
    damage(s3, bucket, bad)
    point(s3, bucket, bad, previous=good)
    store.current()
    newest = publish(s3, bucket, make_factors(seed=3))
    clock.advance(POLL_S)
    store.current()
    assert store.current().version == newest


def test_an_environment_that_has_a_set_keeps_it_and_does_not_fall_back(
    s3: Any, bucket: str, clock: ManualClock, store: S3FactorStore
) -> None:
    """The pointer's `previous` is for those that have nothing."""
    oldest = publish(s3, bucket, make_factors(seed=1))
    in_force = publish(s3, bucket, make_factors(seed=2))
    store.current()
    bad = publish(s3, bucket, make_factors(seed=3))
    damage(s3, bucket, bad)
    point(s3, bucket, bad, previous=oldest)
    clock.advance(POLL_S)
    store.current()
    assert store.current().version == in_force


@pytest.mark.parametrize("previous", [None, "no-such-version"])
def test_without_a_set_to_fall_back_to_the_reason_is_that_of_the_newest(
    s3: Any, bucket: str, store: S3FactorStore, previous: str | None
) -> None:
    """Whoever reads the 503 has to mend the set in force."""
    bad = publish(s3, bucket, make_factors())
    damage(s3, bucket, bad)
    point(s3, bucket, bad, previous=previous)
    with pytest.raises(FactorsUnavailable, match="in every line of the catalogue"):
        store.current()


def test_a_file_of_another_size_than_promised_is_not_begun(own_s3: Any, bucket: str, clock: ManualClock) -> None:
    """A manifest that promises a petabyte must not have one allocated."""
    version = publish(own_s3, bucket, make_factors())
    key = f"factors/{version}/manifest.json"
    manifest = orjson.loads(own_s3.get_object(Bucket=bucket, Key=key)["Body"].read())
    manifest["files"]["item_gram.npy"]["size"] = 10**15
    own_s3.put_object(Bucket=bucket, Key=key, Body=orjson.dumps(manifest))
    with pytest.raises(FactorsUnavailable, match=r"item_gram\.npy: \d+ bytes, promised 1000000000000000"):
        S3FactorStore(own_s3, bucket, clock).current()


def test_moving_the_pointer_back_rolls_back(s3: Any, bucket: str, clock: ManualClock, store: S3FactorStore) -> None:
    """The earlier version serves again, and counts as a reload."""
    first = publish(s3, bucket, make_factors(seed=1))
    publish(s3, bucket, make_factors(seed=2))
    store.current()
    point(s3, bucket, first)
    clock.advance(POLL_S)
    assert store.current().version == first
    assert store.drain_reloads() == ReloadCounts(loaded=1)


def test_the_factors_outlive_s3(clock: ManualClock) -> None:
    """With S3 gone after start, what was loaded serves, and comes back to life with the next good poll."""
    with aws_stand_in() as url:
        s3 = client("s3", url)
        bucket = new_bucket(s3)
        version = publish(s3, bucket, make_factors())
        store = S3FactorStore(s3, bucket, clock, poll_s=POLL_S, executor=InlineExecutor())
        store.current()
    clock.advance(POLL_S)
    assert store.current().version == version
    assert store.drain_reloads() == ReloadCounts(failed=1)


def test_a_bug_in_loading_is_a_reason_and_not_a_crash(
    s3: Any, bucket: str, clock: ManualClock, store: S3FactorStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even an error that nobody foresaw leaves the store answering, and recovering."""
    publish(s3, bucket, make_factors())

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("nobody foresaw this")

    with monkeypatch.context() as patched:
        patched.setattr("flagrank.adapters.s3_factors.validate", broken)
        with pytest.raises(FactorsUnavailable, match="nobody foresaw this"):
            store.current()
    clock.advance(RETRY_S)
    assert store.current().item_factors.shape == (50, 8)


def test_a_set_is_prepared_before_it_serves(s3: Any, bucket: str, clock: ManualClock) -> None:
    """What is worked out once for a set costs no request."""
    prepared: list[tuple[str, bool]] = []

    def prepare(loaded: Factors) -> None:
        prepared.append((loaded.version, "item_norms" in vars(loaded)))

    store = S3FactorStore(s3, bucket, clock, poll_s=POLL_S, executor=InlineExecutor())
    store.prepare_with(prepare)
    publish(s3, bucket, make_factors())
    first = store.current().version
    publish(s3, bucket, make_factors(seed=1))
    clock.advance(POLL_S)
    store.current()
    assert prepared == [(first, True), (store.current().version, True)]
