"""Requests that reach for every service, and what came back."""

import http.client
import json
import threading
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from urllib.parse import urlsplit
from uuid import uuid4

import numpy as np

USERS = 500
PAUSE_S = 0.02
ANSWER_S = 120.0


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer; `asked_s` and `answered_s` on the monotonic clock, `handler_ms` is the function's own time."""

    asked_s: float
    answered_s: float
    status: int
    mode: str = ""
    reason: str = ""
    factors: str = ""
    flag: str = ""
    environment: str = ""
    handler_ms: float = 0.0
    items: tuple[int | str, ...] = ()


class Caller:
    """Asks one thing after another over one connection, each time with words that no cache knows."""

    def __init__(self, url: str, seed: int = 0) -> None:
        self._connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=ANSWER_S)
        self._word, self._number, self._seed = uuid4().hex, 0, seed

    def ask(self) -> Answer:
        """One request; status 0 stands for no answer at all."""
        self._number += 1
        user = (self._seed * 97 + self._number) % USERS + 1
        asked_s = time.monotonic()
        try:
            self._connection.request(
                "GET", f"/recommend?user_id={user}&query=cordless+headset+{self._word}{self._number}"
            )
            response = self._connection.getresponse()
            told = json.loads(response.read())
        except (OSError, ValueError, http.client.HTTPException):
            self._connection.close()
            return Answer(asked_s, time.monotonic(), 0)
        versions = told.get("versions", {})
        return Answer(
            asked_s,
            time.monotonic(),
            response.status,
            told.get("mode", ""),
            told.get("reason", ""),
            versions.get("factors") or "",
            versions.get("flag") or "",
            response.headers.get("x-environment", ""),
            float(response.headers.get("x-handler-ms", 0.0)),
            tuple(told.get("top_items", ())),
        )

    def close(self) -> None:
        """Hangs up."""
        self._connection.close()


def ask_for(url: str, seconds: float, callers: int) -> list[Answer]:
    """What so many callers at once are answered in so many seconds."""
    answers: list[Answer] = []

    def run(seed: int) -> None:
        end_s = time.monotonic() + seconds
        with closing(Caller(url, seed)) as caller:
            while time.monotonic() < end_s:
                answers.append(caller.ask())
                time.sleep(PAUSE_S)

    threads = [threading.Thread(target=run, args=[seed]) for seed in range(callers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def p99_ms(answers: Sequence[Answer]) -> float:
    """The 99th percentile of the function's own time; NaN where nothing was answered."""
    times = [answer.handler_ms for answer in answers if answer.environment]
    return float(np.percentile(times, 99)) if times else float("nan")
