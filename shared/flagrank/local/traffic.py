"""Steady traffic on a local cloud: users who come back, and ask with and without a query."""

import http.client
import itertools
import random
import re
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self
from urllib.parse import urlencode, urlsplit

from flagrank.model.factors import Factors

CALLERS_MOST = 64
# an answer takes a caller this long at most before another caller is needed for the same rate
BUSY_S = 0.5
TIMEOUT_S = 30.0
# a caller that is this late does not hurry to make up for it
LATE_S = 1.0
# of the requests; the others ask without words
QUERY_SHARE = 0.5
# few enough that a query comes again, as people's do
QUERIES = 300
SHORTEST_WORD = 3


@dataclass(frozen=True, slots=True)
class Audience:
    """Who asks, the most frequent first, and with which queries."""

    users: Sequence[str]
    queries: Sequence[str]

    @classmethod
    def of(cls, factors: Factors, users: int) -> Self:
        """The first users of a set, and queries of two words from its items' texts."""
        dice = random.Random(0)  # noqa: S311 - traffic, no secret
        rows = dice.sample(range(len(factors.catalog)), min(QUERIES, len(factors.catalog)))
        words = [re.findall(rf"\w{{{SHORTEST_WORD},}}", factors.catalog[row].title) for row in rows]
        queries = sorted({" ".join(dice.sample(found, 2)) for found in words if len(found) >= 2})
        return cls([str(user) for user in factors.user_ids[:users].tolist()], queries)

    def requests(self, seed: int) -> Iterator[dict[str, str]]:
        """Parameters of one request after another, without end. A few users ask often."""
        dice = random.Random(seed)  # noqa: S311 - traffic, no secret
        # the n-th user asks in proportion to 1 / (n + 10)
        weights = list(itertools.accumulate(1 / (place + 10) for place in range(len(self.users))))
        while True:
            (user,) = dice.choices(self.users, cum_weights=weights)
            has_query = bool(self.queries) and dice.random() < QUERY_SHARE
            yield {"user_id": user, **({"query": dice.choice(self.queries)} if has_query else {})}


@dataclass
class Traffic:
    """So many requests a second on an API while the block lasts; fewer where the API is slower than that."""

    url: str
    per_s: float
    audience: Audience
    statuses: Counter[int] = field(default_factory=Counter, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)
    _stopped: threading.Event = field(default_factory=threading.Event, init=False)
    _due_s: float = field(default=0.0, init=False)
    _threads: list[threading.Thread] = field(default_factory=list, init=False)

    def __enter__(self) -> Self:
        self._due_s = time.monotonic()
        for caller in range(min(CALLERS_MOST, 1 + round(self.per_s * BUSY_S))):
            thread = threading.Thread(target=self._run, args=[caller], daemon=True)
            self._threads.append(thread)
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join(TIMEOUT_S)

    @property
    def summary(self) -> str:
        """How many requests there were, and how they were answered."""
        counted = [f"{number} with {status or 'no answer'}" for status, number in sorted(self.statuses.items())]
        return f"{self.statuses.total()} requests: {', '.join(counted) or 'none was answered'}"

    def _run(self, caller: int) -> None:
        requests = self.audience.requests(caller)
        with closing(http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=TIMEOUT_S)) as connection:
            while not self._stopped.wait(max(0.0, self._next_s() - time.monotonic())):
                status = _ask(connection, next(requests))
                with self._lock:
                    self.statuses[status] += 1

    def _next_s(self) -> float:
        with self._lock:
            self._due_s = max(self._due_s + 1 / self.per_s, time.monotonic() - LATE_S)
            return self._due_s


def _ask(connection: http.client.HTTPConnection, parameters: dict[str, str]) -> int:
    """The status of an answer; 0 if there is none."""
    try:
        connection.request("GET", f"/recommend?{urlencode(parameters)}")
        response = connection.getresponse()
        response.read()
    except (OSError, http.client.HTTPException):
        connection.close()
        return 0
    return response.status
