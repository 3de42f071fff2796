"""The flag from AppConfig's data plane: last-known-good through any outage, for a bounded time.

Polls as https://docs.aws.amazon.com/appconfig/latest/userguide/appconfig-retrieving-the-configuration.html says: tokens
are single-use and live a day, an empty answer means unchanged, and the service names the next poll.
"""

import hashlib
import logging
import threading
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from pydantic import ValidationError

from flagrank.adapters.deadlines import within
from flagrank.flags.document import FlagDocument
from flagrank.ports import Clock, FlagState

FIRST_BACKOFF_S = 1.0
# so that a flip is not late for longer than this once the service answers again
LONGEST_BACKOFF_S = 5.0
MAX_DOUBLINGS = 20
ROUND_TRIP_S = 1.0
# all of a poll's calls, whatever the service sends: a poll that drips must not hold up the next one
POLL_WITHIN_S = 4.0

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Known:
    """The last good document, its version, and when the poll began that last vouched for it, in epoch seconds."""

    document: FlagDocument
    version: str
    vouched_at_s: float


class AppConfigFlagSource:
    """The deployed flag document. `poll_s` >= 15, the service's floor; a document older than `max_age_s` is dropped.

    Stale: not vouched for during two poll intervals, replaced by a document that had to be rejected, or never readable.
    """

    def __init__(
        self,
        client: Any,
        *,
        application: str,
        environment: str,
        profile: str,
        clock: Clock,
        poll_s: int = 15,
        max_age_s: float = 3600,
    ) -> None:
        self._client = client
        self._identifiers = {
            "ApplicationIdentifier": application,
            "EnvironmentIdentifier": environment,
            "ConfigurationProfileIdentifier": profile,
        }
        self._clock = clock
        self._poll_s = poll_s
        self._max_age_s = max_age_s
        self._thread = ThreadPoolExecutor(1, "flag")
        self._lock = threading.Lock()
        self._refresh: Future[None] | None = None
        self._token: str | None = None
        self._known: Known | None = None
        self._asked_at_s = self._due_at_s = 0.0
        self._failures = 0
        self._rejecting: bytes | None = None
        self._rejected = 0

    def current(self, max_wait_ms: float) -> FlagState:
        """The flag in force. The call that begins a due refresh waits for it, at most `max_wait_ms`.

        A slower refresh goes on by itself and a later call has its result: one hanging poll costs one request its wait.
        """
        with self._lock:
            running = self._refresh is not None and not self._refresh.done()
            begun, now_s = None, self._clock.now()
            # a clock that was set back must not put the next poll off
            is_due = now_s >= self._due_at_s or now_s < self._asked_at_s
            if is_due and not running:
                begun = self._refresh = self._thread.submit(self._poll)
        if begun is not None:
            wait([begun], max_wait_ms / 1000)
        return self._state()

    def drain_rejected(self) -> int:
        """How many documents were rejected as invalid since this was last asked."""
        with self._lock:
            rejected, self._rejected = self._rejected, 0
        return rejected

    def reset(self) -> None:
        """Forgets the session, as after a snapshot restore, where its token is stale; the document stays."""
        with self._lock:
            self._token = None
            self._due_at_s = 0.0
            # a poll that was under way at the snapshot may never end, and must not hold the next one up
            self._refresh, self._thread = None, ThreadPoolExecutor(1, "flag")

    def _state(self) -> FlagState:
        known = self._known
        if known is None:
            return FlagState(None, stale=self._failures > 0 or self._rejecting is not None)
        age_s = self._clock.now() - known.vouched_at_s
        if age_s > self._max_age_s:
            return FlagState(None, age_s=age_s, stale=True)
        is_stale = self._rejecting is not None or age_s > 2 * self._poll_s
        return FlagState(known.document, known.version, age_s, is_stale)

    def _poll(self) -> None:
        # before the request: an environment may be frozen in mid-poll and thawed hours later, with an old answer
        asked_at_s = self._asked_at_s = self._clock.now()
        try:
            with within(POLL_WITHIN_S):
                interval_s = self._read(asked_at_s)
            self._failures = 0
            # the service counts from its answer, and refuses who comes too early: hence not from the question alone
            answered_at_s = min(self._clock.now(), asked_at_s + ROUND_TRIP_S)
            self._due_at_s = answered_at_s + interval_s
        except Exception as error:  # the one place that may not fail: a refresh has no caller to tell
            self._failures += 1
            # the exponent is capped as well: days of an outage would overflow the float
            backoff_s = min(LONGEST_BACKOFF_S, FIRST_BACKOFF_S * 2 ** min(self._failures - 1, MAX_DOUBLINGS))
            known = isinstance(error, BotoCoreError | ClientError)
            logger.warning("the flag was not refreshed: %s", error, exc_info=not known)
            self._due_at_s = self._clock.now() + backoff_s

    def _read(self, asked_at_s: float) -> float:
        try:
            answer = self._latest()
        except self._client.exceptions.BadRequestException:
            # the token expired or was used: only a new session helps, and there is no reason to wait for it
            self._token = None
            answer = self._latest()
        body = answer["Configuration"].read()
        # only now: the service takes the document for received with the next token, and would not send it again
        self._token = answer["NextPollConfigurationToken"]
        if body:
            self._accept(body, answer.get("VersionLabel"), asked_at_s)
        elif self._known is not None:
            self._known = replace(self._known, vouched_at_s=asked_at_s)
        return float(answer.get("NextPollIntervalInSeconds", self._poll_s))

    def _latest(self) -> Any:
        if self._token is None:
            session = self._client.start_configuration_session(
                **self._identifiers, RequiredMinimumPollIntervalInSeconds=self._poll_s
            )
            self._token = session["InitialConfigurationToken"]
        token, self._token = self._token, None
        return self._client.get_latest_configuration(ConfigurationToken=token)

    def _accept(self, body: bytes, label: str | None, asked_at_s: float) -> None:
        try:
            document = FlagDocument.model_validate_json(body)
        except ValidationError as error:
            # the service believes that it was received and would not send it again: a new session gets another copy, in
            # case this one was damaged on its way
            self._token = None
            if body != self._rejecting:
                with self._lock:
                    self._rejected += 1
                self._rejecting = body
                logger.warning("an invalid flag document was rejected, the old one stays: %s", error)
            return
        self._rejecting = None
        version = label or hashlib.sha256(body).hexdigest()[:8]
        self._known = Known(document, version, vouched_at_s=asked_at_s)
