"""The key that an HTTP provider wants, kept out of every error, log line and repr."""

import re
import threading
from typing import Any

from flagrank.adapters.bedrock_errors import translated
from flagrank.errors import LLMRejected, RerankError
from flagrank.ports import Clock

REREAD_S = 300.0
# what an HTTP header can hold: a key with a line's end would be quoted in the error of the library that refuses it
_USABLE = re.compile(r"[!-z|~]+")


class ApiKey:
    """A key that is known. Empty for a server that asks for none."""

    def __init__(self, key: str) -> None:
        self._key = key

    def headers(self) -> dict[str, str]:
        """The headers that carry it; raises LLMRejected for a text that is no key."""
        return headers_of(self._key) if self._key else {}


class SecretKey:
    """A key in Secrets Manager, as the secret's whole text. It is read at the first call, and again every REREAD_S.

    A key that cannot be read again stays in use: an outage of Secrets Manager is none of the model's.
    """

    def __init__(self, client: Any, secret_id: str, clock: Clock) -> None:
        self._client = client
        self._secret_id = secret_id
        self._clock = clock
        self._headers: dict[str, str] | None = None
        self._read_at_s = 0.0
        self._lock = threading.Lock()

    def headers(self) -> dict[str, str]:
        """The headers that carry it; raises the leaves of RerankError."""
        with self._lock:
            if self._headers is None or self._clock.monotonic() - self._read_at_s >= REREAD_S:
                try:
                    self._headers = self._read()
                except RerankError:
                    if self._headers is None:
                        raise
                self._read_at_s = self._clock.monotonic()
            return self._headers

    def _read(self) -> dict[str, str]:
        with translated():
            answer = self._client.get_secret_value(SecretId=self._secret_id)
        return headers_of(answer.get("SecretString", ""))


def headers_of(key: str) -> dict[str, str]:
    """The headers that carry a key; raises LLMRejected, without the key, for a text that is none."""
    if not _USABLE.fullmatch(key.strip()):
        raise LLMRejected("the key must be one line of printable characters, and not JSON")
    return {"Authorization": f"Bearer {key.strip()}"}
