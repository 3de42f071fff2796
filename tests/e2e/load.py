"""Steady load on a local cloud: who asked, which arm answered, and what with."""

import http.client
import json
import random
import threading
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit
from uuid import uuid4

# a load that nobody stops ends by itself
LONGEST_S = 300.0


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer; times in seconds on the monotonic clock."""

    asked_s: float
    answered_s: float
    user: int
    status: int
    arm: str
    mode: str


@dataclass
class Load:
    """Callers that ask one after another, each for a random user with a query that no cache knows.

    Every other request is one of an `eager` user's, if there are any: a step of 1 % is judged on the requests of its
    few users, and a small machine would need minutes for them.
    """

    url: str
    callers: int = 8
    users: int = 5000
    eager: Sequence[int] = ()
    answers: list[Answer] = field(default_factory=list)
    _word: str = field(default_factory=lambda: uuid4().hex)
    _stopped: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def __enter__(self) -> Self:
        for caller in range(self.callers):
            thread = threading.Thread(target=self._run, args=[caller], daemon=True)
            self._threads.append(thread)
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join()

    def statuses(self) -> set[int]:
        """Every status that was answered; 0 stands for no answer at all."""
        return {answer.status for answer in self.answers}

    def since(self, moment_s: float) -> Sequence[Answer]:
        """What was asked from a moment on."""
        return [answer for answer in self.answers.copy() if answer.asked_s >= moment_s]

    def _run(self, caller: int) -> None:
        dice, number, end_s = random.Random(caller), 0, time.monotonic() + LONGEST_S
        with closing(http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=30)) as connection:
            while not self._stopped.is_set() and time.monotonic() < end_s:
                number += 1
                is_eager = self.eager and number % 2 == 0
                user = dice.choice(self.eager) if is_eager else dice.randint(1, self.users)
                self.answers.append(_ask(connection, user, f"{self._word}x{caller}x{number}"))


def _ask(connection: http.client.HTTPConnection, user: int, word: str) -> Answer:
    asked_s = time.monotonic()
    try:
        connection.request("GET", f"/recommend?user_id={user}&query=cordless+headset+{word}")
        response = connection.getresponse()
        told = json.loads(response.read())
        status, arm, mode = response.status, told.get("arm", ""), told.get("mode", "")
    except (OSError, ValueError, http.client.HTTPException):
        connection.close()
        status, arm, mode = 0, "", ""
    return Answer(asked_s, time.monotonic(), user, status, arm, mode)
