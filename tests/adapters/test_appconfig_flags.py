"""The flag over AppConfig's data plane: tokens, outages and bad documents."""

import hashlib

import pytest
from botocore.exceptions import EndpointConnectionError

from flagrank.adapters.appconfig_flags import AppConfigFlagSource
from flagrank.adapters.in_memory import ManualClock
from flagrank.flags.document import FlagDocument
from tests.adapters.fixtures import FLAG_MAX_AGE_S as MAX_AGE_S
from tests.adapters.fixtures import FLAG_POLL_S as POLL_S
from tests.adapters.loopback import Answer, AppConfigWire, client, failure

WAIT_MS = 5000.0
OUTAGE = failure("InternalServerException", 500)


def body(percent: float) -> bytes:
    return FlagDocument(enabled=True, percent=percent).model_dump_json(by_alias=True).encode()


def percent(source: AppConfigFlagSource) -> float | None:
    document = source.current(WAIT_MS).document
    return document.percent if document else None


def test_nothing_is_asked_before_first_use(source: AppConfigFlagSource, wire: AppConfigWire) -> None:
    """No session is begun at construction, where a snapshot would freeze its token."""
    assert wire.server.calls == []
    source.current(WAIT_MS)
    assert wire.sessions == 1


def test_within_the_poll_interval_nothing_is_asked(
    source: AppConfigFlagSource, wire: AppConfigWire, clock: ManualClock
) -> None:
    """A request between two polls costs no call."""
    source.current(WAIT_MS)
    clock.advance(POLL_S - 1)
    source.current(WAIT_MS)
    assert wire.polls() == 1


def test_an_interval_that_the_service_asks_for_is_kept(
    source: AppConfigFlagSource, wire: AppConfigWire, clock: ManualClock
) -> None:
    """A longer `NextPollIntervalInSeconds` beats the configured one."""
    wire.next_poll_s = 60
    source.current(WAIT_MS)
    clock.advance(59)
    source.current(WAIT_MS)
    assert wire.polls() == 1
    clock.advance(1)
    source.current(WAIT_MS)
    assert wire.polls() == 2


def test_an_empty_answer_means_unchanged_and_fresh(
    source: AppConfigFlagSource, wire: AppConfigWire, clock: ManualClock
) -> None:
    """The document stays, and the service has vouched for it anew."""
    wire.deploy(body(5), "v1")
    source.current(WAIT_MS)
    for _ in range(4):
        clock.advance(POLL_S)
        state = source.current(WAIT_MS)
        assert state.document is not None
        assert (state.document.percent, state.version, state.age_s, state.stale) == (5, "v1", 0.0, False)
    assert wire.sessions == 1


def test_a_token_that_expired_is_renewed_within_the_same_poll(
    source: AppConfigFlagSource, wire: AppConfigWire, clock: ManualClock
) -> None:
    """BadRequestException costs a new session, not a poll."""
    wire.deploy(body(5))
    source.current(WAIT_MS)
    wire.forget_tokens()
    wire.deploy(body(50))
    clock.advance(POLL_S)
    assert percent(source) == 50
    assert wire.sessions == 2


def test_after_a_restore_a_new_session_is_begun_at_once(source: AppConfigFlagSource, wire: AppConfigWire) -> None:
    """`reset` keeps the document, forgets the token and waits for no poll interval."""
    wire.deploy(body(5))
    source.current(WAIT_MS)
    wire.deploy(body(50))
    source.reset()
    assert percent(source) == 50
    assert wire.sessions == 2


def test_a_document_without_a_label_is_named_by_its_content(source: AppConfigFlagSource, wire: AppConfigWire) -> None:
    """The version is the beginning of the body's SHA-256."""
    wire.deploy(body(5))
    assert source.current(WAIT_MS).version == hashlib.sha256(body(5)).hexdigest()[:8]


@pytest.mark.parametrize(
    "bad", [b"no json", b"[]", b'{"percent": 101}', b'{"schema": 2}', b'{"percnt": 5}', b"\xff\xfe", b"null"]
)
def test_an_invalid_document_is_turned_away_and_seen(
    source: AppConfigFlagSource, wire: AppConfigWire, clock: ManualClock, bad: bytes
) -> None:
    """The old one stays under its own version, the state is stale, and the rejection is counted once."""
    wire.deploy(body(5), "v1")
    source.current(WAIT_MS)
    wire.deploy(bad, "v2")
    for _ in range(3):
        clock.advance(POLL_S)
        state = source.current(WAIT_MS)
        assert state.document is not None
        assert (state.document.percent, state.version, state.stale) == (5, "v1", True)
    assert (source.drain_rejected(), source.drain_rejected()) == (1, 0)


@pytest.mark.parametrize("is_cut_off", [False, True])
def test_a_document_that_was_damaged_on_its_way_is_sent_again(
    source: AppConfigFlagSource, wire: AppConfigWire, clock: ManualClock, is_cut_off: bool
) -> None:
    """The service takes it for received; the next poll begins a session of its own and gets it whole."""
    wire.deploy(body(5), "v1")
    source.current(WAIT_MS)
    wire.deploy(body(7), "v2")
    clock.advance(POLL_S)
    wire.damage_next(is_cut_off=is_cut_off)
    assert source.current(WAIT_MS).version == "v1"
    clock.advance(POLL_S)
    state = source.current(WAIT_MS)
    assert (state.version, state.stale, source.drain_rejected()) == ("v2", False, 0 if is_cut_off else 1)


def test_a_good_document_ends_a_rejection(source: AppConfigFlagSource, wire: AppConfigWire, clock: ManualClock) -> None:
    """The repaired deployment is in force, and no longer stale."""
    wire.deploy(b"no json")
    assert source.current(WAIT_MS).stale
    wire.deploy(body(50), "v3")
    clock.advance(POLL_S)
    state = source.current(WAIT_MS)
    assert (state.version, state.stale) == ("v3", False)


@pytest.mark.parametrize(
    "trouble",
    [
        OUTAGE,
        failure("ThrottlingException", 429),
        failure("ResourceNotFoundException", 404),
        failure("BadRequestException", 400),
        Answer(200, b"<html>a proxy's idea of an answer</html>"),
    ],
    ids=["outage", "throttled", "not found", "bad request", "no answer of the service"],
)
def test_no_trouble_is_an_exception(source: AppConfigFlagSource, wire: AppConfigWire, trouble: Answer) -> None:
    """A flag that could never be read is no document, and says that it is in doubt."""
    wire.trouble = trouble
    state = source.current(WAIT_MS)
    assert (state.document, state.version, state.stale) == (None, None, True)


def test_a_refused_connection_is_no_exception(clock: ManualClock) -> None:
    """With AppConfig gone altogether there is a state to go on with."""
    wire = AppConfigWire()
    with wire.server:
        gone = client("appconfigdata", wire.server.url)
    source = AppConfigFlagSource(gone, application="a", environment="e", profile="p", clock=clock)
    assert source.current(WAIT_MS).document is None


def test_an_outage_goes_stale_after_two_poll_intervals_and_ends_at_the_bound(
    source: AppConfigFlagSource, wire: AppConfigWire, clock: ManualClock
) -> None:
    """Last-known-good is fresh, then stale, then dropped with its version."""
    wire.deploy(body(5), "v1")
    source.current(WAIT_MS)
    wire.trouble = OUTAGE
    clock.advance(2 * POLL_S)
    state = source.current(WAIT_MS)
    assert (state.version, state.age_s, state.stale) == ("v1", 2 * POLL_S, False)
    clock.advance(MAX_AGE_S - 2 * POLL_S)
    state = source.current(WAIT_MS)
    assert (state.version, state.age_s, state.stale) == ("v1", MAX_AGE_S, True)
    clock.advance(1)
    state = source.current(WAIT_MS)
    assert (state.document, state.version, state.stale) == (None, None, True)


def test_the_flag_comes_back_after_an_outage_beyond_the_bound(
    source: AppConfigFlagSource, wire: AppConfigWire, clock: ManualClock
) -> None:
    """What was dropped is read anew, although its content is the same."""
    wire.deploy(body(5), "v1")
    source.current(WAIT_MS)
    wire.trouble = OUTAGE
    clock.advance(MAX_AGE_S + 1)
    source.current(WAIT_MS)
    wire.trouble = None
    clock.advance(POLL_S)
    state = source.current(WAIT_MS)
    assert (state.version, state.stale) == ("v1", False)


def test_errors_are_retried_at_growing_intervals(
    source: AppConfigFlagSource, wire: AppConfigWire, clock: ManualClock
) -> None:
    """After 1, 2 and 4 s, and from then on every 5 s: a flip is not late for long once the service answers."""
    wire.trouble = OUTAGE
    asked_at_s = []
    for second in range(62):
        before = len(wire.server.calls)
        source.current(WAIT_MS)
        if len(wire.server.calls) > before:
            asked_at_s.append(second)
        clock.advance(1)
    assert asked_at_s == [0, 1, 3, 7, *range(12, 62, 5)]


def test_a_second_outage_backs_off_from_the_beginning(
    source: AppConfigFlagSource, wire: AppConfigWire, clock: ManualClock
) -> None:
    """A good read ends the first outage's count, and its doubt."""
    wire.trouble = OUTAGE
    for _ in range(6):
        source.current(WAIT_MS)
        clock.advance(POLL_S)
    wire.trouble = None
    assert not source.current(WAIT_MS).stale
    wire.trouble = OUTAGE
    clock.advance(POLL_S)
    source.current(WAIT_MS)
    wire.trouble = None
    wire.deploy(body(5))
    clock.advance(1)
    assert percent(source) == 5


def test_a_token_is_sent_once_even_when_nobody_heard_the_answer(
    source: AppConfigFlagSource, wire: AppConfigWire, clock: ManualClock
) -> None:
    """The service may have used it up before the answer was lost."""
    source.current(WAIT_MS)
    wire.trouble = OUTAGE
    clock.advance(POLL_S)
    source.current(WAIT_MS)
    wire.trouble = None
    clock.advance(POLL_S)
    source.current(WAIT_MS)
    polls = [call.path for call in wire.server.calls if call.method == "GET"]
    assert len(polls) == len(set(polls)) == 3


def test_an_outage_of_any_length_keeps_its_backoff(clock: ManualClock) -> None:
    """The arithmetic holds for more failures than a float has exponents: hours of an outage, at 15 s each."""
    asked = 0

    class Gone:
        class exceptions:  # noqa: N801 - as boto3 names it
            BadRequestException = LookupError

        def start_configuration_session(self, **_: object) -> None:
            nonlocal asked
            asked += 1
            raise EndpointConnectionError(endpoint_url="gone")

    source = AppConfigFlagSource(Gone(), application="a", environment="e", profile="p", clock=clock, poll_s=POLL_S)
    for _ in range(1100):
        source.current(WAIT_MS)
        clock.advance(POLL_S)
    assert asked == 1100
    source.current(WAIT_MS)
    source.current(WAIT_MS)
    assert asked == 1101
