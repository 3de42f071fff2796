"""Refreshing the flag behind the requests: one at a time, and nobody kept waiting."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from flagrank.adapters import appconfig_flags, aws_clients
from flagrank.adapters.appconfig_flags import AppConfigFlagSource
from flagrank.adapters.in_memory import ManualClock
from flagrank.flags.document import FlagDocument
from tests.adapters.fixtures import FLAG_POLL_S
from tests.adapters.loopback import DRIPPED_HEADS, Answer, AppConfigWire, Call, Dripping

WAIT_MS = 5000.0


def body(percent: float) -> bytes:
    return FlagDocument(enabled=True, percent=percent).model_dump_json(by_alias=True).encode()


class Gate:
    """Holds the server's answers back until it is opened."""

    def __init__(self, wire: AppConfigWire) -> None:
        self.passed = 0
        self._open = threading.Event()
        self._respond = wire.server.respond
        wire.server.respond = self._when_open

    def open(self) -> None:
        self._open.set()

    def _when_open(self, call: Call) -> Answer:
        self._open.wait(10)
        self.passed += 1
        return self._respond(call)


def test_a_slow_refresh_is_not_waited_for_and_arrives_later(
    source: AppConfigFlagSource, wire: AppConfigWire, clock: ManualClock
) -> None:
    """The caller gets last-known-good; a call after the refresh has ended gets its result."""
    wire.deploy(body(5))
    source.current(WAIT_MS)
    wire.deploy(body(50))
    clock.advance(FLAG_POLL_S)
    gate = Gate(wire)
    document = source.current(max_wait_ms=1).document
    assert document is not None
    assert document.percent == 5
    gate.open()
    source._thread.submit(lambda: None).result()
    document = source.current(WAIT_MS).document
    assert document is not None
    assert document.percent == 50


def test_there_is_never_more_than_one_refresh(
    source: AppConfigFlagSource, wire: AppConfigWire, clock: ManualClock
) -> None:
    """However many callers find it due, the service is asked once."""
    gate = Gate(wire)
    with ThreadPoolExecutor(8) as callers:
        states = list(callers.map(lambda _: source.current(max_wait_ms=1), range(40)))
    gate.open()
    source._thread.submit(lambda: None).result()
    assert {state.document for state in states} == {None}
    assert (wire.sessions, wire.polls()) == (1, 1)


def test_only_the_caller_that_began_a_refresh_waits_for_it(source: AppConfigFlagSource, wire: AppConfigWire) -> None:
    """A hanging service costs one request its wait; with an endless wait allowed, the next returns all the same."""
    gate = Gate(wire)
    source.current(max_wait_ms=1)
    state = source.current(max_wait_ms=threading.TIMEOUT_MAX)
    assert (gate.passed, state.stale) == (0, False)
    gate.open()


@pytest.mark.parametrize("changed", [True, False], ids=["a document", "unchanged"])
def test_an_answer_that_was_frozen_in_mid_poll_is_as_old_as_its_question(
    source: AppConfigFlagSource, wire: AppConfigWire, clock: ManualClock, changed: bool
) -> None:
    """An environment that thaws five minutes later holds an old document: it says so, and asks again at once."""
    wire.deploy(body(5))
    source.current(WAIT_MS)
    if changed:
        wire.deploy(body(50))
    clock.advance(FLAG_POLL_S)
    respond, frozen_s = wire.server.respond, 300

    def freeze(call: Call) -> Answer:
        answer = respond(call)
        clock.advance(frozen_s)
        return answer

    wire.server.respond = freeze
    thawed = source.current(WAIT_MS)
    assert (thawed.age_s, thawed.stale) == (frozen_s, True)
    wire.server.respond = respond
    wire.deploy(body(0))
    refreshed = source.current(WAIT_MS)
    assert refreshed.document is not None
    assert (refreshed.document.percent, refreshed.age_s, refreshed.stale) == (0, 0, False)


def test_the_next_poll_is_counted_from_the_answer(
    source: AppConfigFlagSource, wire: AppConfigWire, clock: ManualClock
) -> None:
    """AppConfig refuses a poll that comes within the interval of its last answer, however long that was under way."""
    respond = wire.server.respond

    def slowly(call: Call) -> Answer:
        clock.advance(0.25)
        return respond(call)

    wire.server.respond = slowly
    source.current(WAIT_MS)  # a session and a poll: half a second
    wire.server.respond = respond
    clock.advance(FLAG_POLL_S - 0.25)
    source.current(WAIT_MS)
    assert wire.polls() == 1
    clock.advance(0.25)
    source.current(WAIT_MS)
    assert wire.polls() == 2


@pytest.mark.parametrize("head", DRIPPED_HEADS.values(), ids=DRIPPED_HEADS)
def test_a_poll_that_drips_does_not_hold_up_the_next_one(
    head: bytes, wire: AppConfigWire, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends by itself whatever comes, and once the service is well a flip arrives with the next poll."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setattr(appconfig_flags, "POLL_WITHIN_S", 0.4)
    clients = []
    with Dripping(head) as dripping:
        for url in (wire.server.url, dripping.url):
            monkeypatch.setenv("AWS_ENDPOINT_URL", url)
            clients.append(aws_clients.appconfigdata_client())
        source = AppConfigFlagSource(clients[0], application="a", environment="e", profile="p", clock=clock)
        wire.deploy(body(5))
        source.current(WAIT_MS)
        wire.deploy(body(0))
        source._client = clients[1]
        clock.advance(FLAG_POLL_S)
        assert source.current(1).document == FlagDocument(enabled=True, percent=5)
        assert source._refresh is not None
        source._refresh.result(30)
        source._client = clients[0]
        clock.advance(appconfig_flags.FIRST_BACKOFF_S)
        assert source.current(WAIT_MS).document == FlagDocument(enabled=True, percent=0)


def test_a_clock_that_is_set_back_does_not_put_the_next_poll_off(
    source: AppConfigFlagSource, wire: AppConfigWire, clock: ManualClock
) -> None:
    """An hour back is not an hour without a flip."""
    wire.deploy(body(5))
    source.current(WAIT_MS)
    wire.deploy(body(0))
    clock.advance(-3600)
    assert source.current(WAIT_MS).document == FlagDocument(enabled=True, percent=0)
