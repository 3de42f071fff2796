"""S3 that hangs or drips: a start and a request wait a little and no longer, and so does the next look."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from flagrank.adapters import aws_clients
from flagrank.adapters.in_memory import InMemoryFlagSource, ManualClock
from flagrank.adapters.s3_factors import RETRY_S, Patience, S3FactorStore
from flagrank.bootstrap import warm_up
from flagrank.errors import FactorsUnavailable
from flagrank.serving import api
from tests.adapters.cloud import publish
from tests.adapters.loopback import DRIPPED_HEADS, Dripping
from tests.factories import make_factors
from tests.wiring import Wired

POLL_S = 60.0
SHORT_S = 0.4
NEVER_S = 30.0
HURRIED = Patience(read_within_s=SHORT_S)


@pytest.fixture(autouse=True)
def aws_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What Lambda sets."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setattr(aws_clients, "FACTORS_ATTEMPTS", 1)


class Faulty:
    """An S3 client whose calls drip while `is_down`."""

    def __init__(self, good: Any, dripping: Any) -> None:
        self._good = good
        self._dripping = dripping
        self.is_down = True

    def __getattr__(self, name: str) -> Any:
        return getattr(self._dripping if self.is_down else self._good, name)


@pytest.fixture
def faulty(s3: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Faulty]:
    with Dripping(DRIPPED_HEADS["body"]) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        yield Faulty(s3, aws_clients.s3_client())


def ended(call: Any) -> None:
    """Fails the test where the call does not end, on a thread that nobody waits for."""
    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    thread.join(NEVER_S)
    assert not thread.is_alive()


def test_a_start_without_s3_is_a_start_and_each_request_tries_again(
    faulty: Faulty, s3: Any, bucket: str, clock: ManualClock
) -> None:
    """503 with its reason and when to ask again, while S3 drips; and an answer as soon as it does not."""
    version = publish(s3, bucket, make_factors())
    store = S3FactorStore(faulty, bucket, clock, patience=HURRIED)
    ended(lambda: warm_up(store, InMemoryFlagSource(None), is_patient=True))
    wired = Wired()
    object.__setattr__(wired.service.recommender, "factors", store)
    clock.advance(RETRY_S)
    reply = api.recommended(wired.service, api.RecommendParams(user_id="1"))
    assert (reply.status, reply.media_type) == (503, "application/problem+json")
    assert reply.headers["retry-after"]
    assert b"Read timeout" in reply.body
    faulty.is_down = False
    clock.advance(RETRY_S)
    assert api.recommended(wired.service, api.RecommendParams(user_id="1")).status == 200
    assert store.current().version == version


def test_a_request_waits_a_little_for_the_first_factors_and_leaves_the_load_running(
    s3: Any, bucket: str, clock: ManualClock
) -> None:
    """A set that takes longer to load than a request may wait is there for a later one, and is read once."""
    version = publish(s3, bucket, make_factors())
    is_open = threading.Event()
    store = S3FactorStore(s3, bucket, clock, patience=Patience(first_wait_s=0.05))
    store.prepare_with(lambda factors: is_open.wait(NEVER_S))
    for _ in range(3):
        with pytest.raises(FactorsUnavailable, match="not read yet"):
            store.current()
    is_open.set()
    store.load(NEVER_S)
    assert store.current().version == version
    assert store.drain_reloads().failed == 0


def test_a_look_that_drips_does_not_put_off_the_next_one(
    faulty: Faulty, s3: Any, bucket: str, clock: ManualClock
) -> None:
    """It ends by itself, the old set serves, and the next look takes the new one."""
    old = publish(s3, bucket, make_factors(seed=1))
    faulty.is_down = False
    store = S3FactorStore(faulty, bucket, clock, poll_s=POLL_S, patience=HURRIED)
    store.current()
    new = publish(s3, bucket, make_factors(seed=2))
    faulty.is_down = True
    clock.advance(POLL_S)
    assert store.current().version == old
    ended(lambda: store._background.submit(lambda: None).result())
    assert store.drain_reloads().failed == 1
    faulty.is_down = False
    clock.advance(POLL_S)
    store.current()
    ended(lambda: store._background.submit(lambda: None).result())
    assert store.current().version == new


def test_a_clock_that_is_set_back_does_not_put_the_next_look_off(s3: Any, bucket: str, clock: ManualClock) -> None:
    """An hour back is not an hour without new factors."""
    publish(s3, bucket, make_factors(seed=1))
    store = S3FactorStore(s3, bucket, clock, poll_s=POLL_S)
    store.current()
    new = publish(s3, bucket, make_factors(seed=2))
    clock.advance(-3600)
    store.current()
    ended(lambda: store._background.submit(lambda: None).result())
    assert store.current().version == new
