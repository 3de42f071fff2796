"""The key that an HTTP provider wants, kept out of every error, log line and repr."""

import re
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from flagrank.adapters.bedrock_errors import translated
from flagrank.errors import LLMRejected, RerankTimeout
from flagrank.ports import Clock

REREAD_S = 300.0
# how long one failure answers for all calls, while there is no key
RETRY_S = 1.0
# what an HTTP header can hold: a key with a line's end would be quoted in the error of the library that refuses it
_USABLE = re.compile(r"[!-z|~]+")


class ApiKey:
    """A key that is known. Empty for a server that asks for none."""

    def __init__(self, key: str) -> None:
        self._key = key

    def headers(self, max_wait_s: float) -> dict[str, str]:
        """The headers that carry it; raises LLMRejected for a text that is no key."""
        return headers_of(self._key) if self._key else {}


class SecretKey:
    """A key in Secrets Manager, as the secret's whole text. It is read at the first call, and again every REREAD_S.

    It is read on a thread of its own: a call waits for the first reading alone, and no longer than it has. A key that
    cannot be read again stays in use: an outage of Secrets Manager is none of the model's.
    """

    def __init__(self, client: Any, secret_id: str, clock: Clock) -> None:
        self._client = client
        self._secret_id = secret_id
        self._clock = clock
        self._thread = ThreadPoolExecutor(1, "key")
        self._lock = threading.Lock()
        self._headers: dict[str, str] | None = None
        self._reading: Future[dict[str, str]] | None = None
        self._begun_at_s = 0.0

    def headers(self, max_wait_s: float) -> dict[str, str]:
        """The headers that carry it, after at most `max_wait_s`; raises the leaves of RerankError."""
        with self._lock:
            reading = self._reading
            wait_to_read_s = RETRY_S if self._headers is None else REREAD_S
            is_due = reading is None or self._clock.monotonic() - self._begun_at_s >= wait_to_read_s
            if is_due and (reading is None or reading.done()):
                self._begun_at_s = self._clock.monotonic()
                reading = self._reading = self._thread.submit(self._read)
        if self._headers is None and reading is not None:
            try:
                return reading.result(max_wait_s)
            except TimeoutError:
                raise RerankTimeout("the provider's key was not read in time") from None
        assert self._headers is not None
        return self._headers

    def _read(self) -> dict[str, str]:
        with translated():
            answer = self._client.get_secret_value(SecretId=self._secret_id)
        self._headers = headers_of(answer.get("SecretString", ""))
        return self._headers


def headers_of(key: str) -> dict[str, str]:
    """The headers that carry a key; raises LLMRejected, without the key, for a text that is none."""
    if not _USABLE.fullmatch(key.strip()):
        raise LLMRejected("the key must be one line of printable characters, and not JSON")
    return {"Authorization": f"Bearer {key.strip()}"}
