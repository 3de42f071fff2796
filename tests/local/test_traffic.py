"""Traffic on an API that only counts."""

import itertools
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from flagrank.local.traffic import Audience, Traffic
from tests.factories import make_factors
from tests.local.conftest import served


@dataclass
class Api:
    """Remembers what was asked; `status` is what it answers."""

    status: int = 200
    asked: list[tuple[str, str]] = field(default_factory=list)
    enough: threading.Event = field(default_factory=threading.Event)

    async def recommend(self, request: Request) -> Response:
        self.asked.append((request.query_params["user_id"], request.query_params.get("query", "")))
        if len(self.asked) >= 30:
            self.enough.set()
        return Response("{}", self.status)


@pytest.fixture
def api() -> Api:
    return Api()


@pytest.fixture
def url(api: Api) -> Iterator[str]:
    with served(Starlette(routes=[Route("/recommend", api.recommend)])) as address:
        yield address


AUDIENCE = Audience([str(user) for user in range(100)], ["red shoe", "blue hat"])


def test_users_come_back_and_ask_with_and_without_words() -> None:
    """The first users most often."""
    asked = list(itertools.islice(AUDIENCE.requests(1), 4000))
    by_user = Counter(request["user_id"] for request in asked)
    assert max(by_user.values()) > 4 * min(by_user.values())
    assert by_user["0"] > by_user["99"]
    assert 0.45 < sum("query" in request for request in asked) / len(asked) < 0.55
    assert {request["query"] for request in asked if "query" in request} == {*AUDIENCE.queries}


def test_an_audience_is_of_a_set_s_users_and_words() -> None:
    """No more users than asked for, and queries of two words of one item."""
    factors = make_factors()
    audience = Audience.of(factors, users=2)
    assert list(audience.users) == [str(user) for user in factors.user_ids[:2].tolist()]
    titles = [factors.catalog[row].title for row in range(len(factors.catalog))]
    assert all(any(set(query.split()) <= set(title.split()) for title in titles) for query in audience.queries)


def test_it_asks_at_its_rate_and_counts_the_answers(api: Api, url: str) -> None:
    """Not faster, whatever the callers could do."""
    began_s = time.monotonic()
    with Traffic(url, 50.0, AUDIENCE) as traffic:
        assert api.enough.wait(20)
        lasted_s = time.monotonic() - began_s
    assert traffic.statuses[200] == traffic.statuses.total() >= 29
    # one that is late may make up for a second
    assert len(api.asked) <= 50 * (lasted_s + 2)
    assert "with 200" in traffic.summary


def test_a_failure_is_counted_and_the_traffic_goes_on(api: Api, url: str) -> None:
    """An error has its status, and what was not answered none."""
    api.status = 500
    with Traffic(url, 200.0, AUDIENCE) as traffic:
        assert api.enough.wait(20)
    assert set(traffic.statuses) == {500}
    with Traffic("http://127.0.0.1:9", 200.0, AUDIENCE) as unheard:
        while unheard.statuses.total() < 5:
            time.sleep(0.01)
    assert set(unheard.statuses) == {0}
    assert "no answer" in unheard.summary
