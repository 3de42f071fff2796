"""A provider's key from Secrets Manager."""

import threading
from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from flagrank.adapters.api_keys import REREAD_S, SecretKey
from flagrank.adapters.in_memory import ManualClock
from flagrank.errors import LLMRejected, LLMUnavailable, RerankTimeout
from tests.adapters.loopback import Answer, Call, Loopback, client

WAIT_S = 30.0
SECRET_ID = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:key-AbCdEf"


def failure(code: str, status: int) -> Answer:
    """An error in the shape of Secrets Manager's protocol."""
    return Answer(status, orjson.dumps({"__type": code, "Message": "as told"}))


class Vault:
    """Secrets Manager on loopback, with one secret."""

    def __init__(self) -> None:
        self.secret = "sk-first"
        self.trouble: Answer | None = None
        self.server = Loopback(self._respond)

    def _respond(self, call: Call) -> Answer:
        assert orjson.loads(call.body) == {"SecretId": SECRET_ID}
        body = orjson.dumps({"SecretString": self.secret})
        return self.trouble or Answer(200, body, {"Content-Type": "application/x-amz-json-1.1"})


@pytest.fixture
def vault() -> Iterator[Vault]:
    made = Vault()
    with made.server:
        yield made


@pytest.fixture
def secrets(vault: Vault) -> Any:
    return client("secretsmanager", vault.server.url)


def test_a_secret_is_read_once_and_again_when_it_is_old(vault: Vault, secrets: Any, clock: ManualClock) -> None:
    """A rotated key is in use within minutes, and a call seldom waits for it."""
    key = SecretKey(secrets, SECRET_ID, clock)
    assert vault.server.calls == []
    assert [key.headers(WAIT_S) for _ in range(3)] == [{"Authorization": "Bearer sk-first"}] * 3
    vault.secret = "sk-second\n"
    assert len(vault.server.calls) == 1
    clock.advance(REREAD_S)
    # the call that finds it due does not wait for it
    key.headers(WAIT_S)
    key._thread.submit(lambda: None).result()
    assert key.headers(WAIT_S) == {"Authorization": "Bearer sk-second"}


def test_a_key_outlives_an_outage_of_secrets_manager(vault: Vault, secrets: Any, clock: ManualClock) -> None:
    """What worked before works on."""
    key = SecretKey(secrets, SECRET_ID, clock)
    before = key.headers(WAIT_S)
    vault.trouble = failure("InternalServiceError", 500)
    clock.advance(REREAD_S)
    for _ in range(2):
        assert key.headers(WAIT_S) == before
        key._thread.submit(lambda: None).result()


@pytest.mark.parametrize(
    ("trouble", "leaf"),
    [
        (failure("AccessDeniedException", 400), LLMRejected),
        (failure("ResourceNotFoundException", 400), LLMRejected),
        (failure("DecryptionFailure", 400), LLMRejected),
        (failure("InternalServiceError", 500), LLMUnavailable),
    ],
)
def test_a_key_that_cannot_be_read_is_a_failure_with_its_name(
    vault: Vault, secrets: Any, clock: ManualClock, trouble: Answer, leaf: type[Exception]
) -> None:
    """A missing permission is not an outage."""
    vault.trouble = trouble
    with pytest.raises(leaf):
        SecretKey(secrets, SECRET_ID, clock).headers(WAIT_S)


def test_a_secret_that_is_no_key_is_refused_without_being_shown(vault: Vault, secrets: Any, clock: ManualClock) -> None:
    """The console suggests JSON; the text is to be the key alone."""
    vault.secret = '{"api_key": "sk-inside"}'
    key = SecretKey(secrets, SECRET_ID, clock)
    with pytest.raises(LLMRejected, match="not JSON") as caught:
        key.headers(WAIT_S)
    assert "sk-inside" not in str(caught.value) + repr(key)


def test_a_call_waits_no_longer_for_the_key_than_it_has_and_the_reading_goes_on(
    vault: Vault, secrets: Any, clock: ManualClock
) -> None:
    """A slow Secrets Manager costs the first calls, whose threads are free, and is asked once for all of them."""
    is_open, respond = threading.Event(), vault.server.respond
    vault.server.respond = lambda call: respond(call) if is_open.wait(WAIT_S) else Answer(500)
    key = SecretKey(secrets, SECRET_ID, clock)
    for _ in range(3):
        with pytest.raises(RerankTimeout):
            key.headers(0.01)
    is_open.set()
    assert key.headers(WAIT_S) == {"Authorization": "Bearer sk-first"}
    assert len(vault.server.calls) == 1
