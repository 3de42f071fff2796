"""`/similar` and `filter=` as a caller of the application sees them."""

import asyncio
from typing import Any

import httpx
import numpy as np
import pytest

from flagrank.metric_names import SimilarMetric
from flagrank.model.factors import Neighbours
from flagrank.ranking import postprocess
from flagrank.serving.asgi import create_app
from tests.factories import make_attributes, make_factors
from tests.wiring import Wired

ITEMS = 200
NEIGHBOURS = Neighbours(
    np.tile(np.array([150, 151, 160], np.int32), (ITEMS, 1)),
    np.tile(np.array([0.9, 0.8, 0.7], np.float32), (ITEMS, 1)),
    np.zeros((ITEMS, 3), np.float32),
)
FACTORS = make_factors(ITEMS, attributes=make_attributes(ITEMS), neighbours=NEIGHBOURS)


def wired(rules: str = "{}") -> Wired:
    """A service over a set with attributes and neighbours."""
    return Wired(environment={"FLAGRANK_RULES": rules}, factors=FACTORS)


def get(service: Wired, path: str, **params: Any) -> httpx.Response:
    """One request to the application over the service."""

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(create_app(service.service))
        async with httpx.AsyncClient(transport=transport, base_url="http://api.local") as client:
            return await client.get(path, params=params)

    return asyncio.run(ask())


def similar(rules: str = "{}", **params: Any) -> list[int]:
    """The ids that `/similar` lists for item 105."""
    response = get(wired(rules), "/similar", **{"item_id": 105, **params})
    assert response.status_code == 200
    found: list[int] = response.json()["similar_items"]
    return found


def test_the_answer_names_the_item_what_is_like_it_and_the_version() -> None:
    """The id in the type in which it was trained."""
    answer = get(wired(), "/similar", item_id="0105", top_k=3)
    assert answer.status_code == 200
    document = answer.json()
    assert document.keys() == {"item_id", "similar_items", "versions"}
    assert (document["item_id"], document["versions"]) == (105, {"factors": FACTORS.version})
    assert len({*document["similar_items"]} - {105}) == 3


def test_ten_items_are_listed_unless_another_number_is_asked_for() -> None:
    """As in /recommend."""
    assert (len(similar()), len(similar(top_k=100))) == (10, 100)


def test_neighbours_are_listed_and_what_is_out_of_stock_is_not() -> None:
    """Of the neighbours 250, 251 and 260 only 251 is in stock: an item's stock is its id's last digit."""
    found = similar()
    assert 251 in found
    assert not {item_id for item_id in similar(top_k=100) if item_id % 10 == 0}


def test_category_filter_and_exclusions_narrow_the_list() -> None:
    """All that is listed meets all of them."""
    found = similar(top_k=100, category="audio", filter="price<90,brand=brand 1|brand 2", exclude="112,106")
    assert found
    rows = [item_id - 100 for item_id in found]
    assert all(row % 3 == 0 and row + 0.5 < 90 and row % 5 in (1, 2) for row in rows)
    assert not {112, 106} & {*found}


def test_an_item_that_is_out_of_stock_has_similar_ones() -> None:
    """Who finds it sold out wants to see others."""
    assert len(similar(item_id=110)) == 10


def test_the_rules_hold() -> None:
    """Blocks, attributes and the cap of a category; pins are for users."""
    rules = '{"block": [251], "exclude": "brand=brand 2", "category_cap": 2, "pin": [299]}'
    plain, found = similar(top_k=6), similar(rules, top_k=6)
    assert 251 in plain
    assert not {item_id for item_id in found if item_id == 251 or (item_id - 100) % 5 == 2}
    categories = [(item_id - 100) % 3 for item_id in found]
    assert max(categories.count(category) for category in range(3)) == 2
    assert found[0] != 299


def test_diversity_moves_items_and_loses_none() -> None:
    """MMR is that of the recommendations."""
    plain, diverse = similar(top_k=100), similar('{"mmr_lambda": 0.3}', top_k=100)
    assert plain[0] == diverse[0]
    assert plain[:10] != diverse[:10]


def test_it_is_counted_under_its_own_name_and_in_no_arm() -> None:
    """The rollout is judged by what its arms served; a rate of failures needs its zeros."""
    service = wired()
    get(service, "/similar", item_id="0105")
    ((arm, values, metadata),) = service.metrics.records
    assert (arm, values) == (None, {SimilarMetric.REQUESTS: 1.0, SimilarMetric.FAILURE: 0.0})
    assert (metadata["item_id"], metadata["factors"]) == ("0105", FACTORS.version)


@pytest.mark.parametrize("params", [{"item_id": 1}, {"item_id": "abc"}, {"item_id": 105, "filter": "colour=red"}])
def test_what_the_caller_asks_wrongly_is_not_counted(params: dict[str, Any]) -> None:
    """It can never succeed, so it says nothing of our health."""
    service = wired()
    assert get(service, "/similar", **params).status_code in (404, 422)
    assert service.metrics.records == []


def test_an_unknown_item_is_a_404() -> None:
    """Problem details that name the item and the version."""
    response = get(wired(), "/similar", item_id=99)
    assert (response.status_code, response.headers["content-type"]) == (404, "application/problem+json")
    assert (response.json()["reason"], response.json()["status"]) == ("unknown_item", 404)
    assert response.json()["detail"] == f"no item 99 in version {FACTORS.version}"


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({}, "item_id"),
        ({"item_id": ""}, "item_id"),
        ({"item_id": "no number"}, "item_id"),
        ({"item_id": "abc"}, "item_id"),
        ({"item_id": 105, "top_k": 0}, "top_k"),
        ({"item_id": 105, "top_k": 101}, "top_k"),
        ({"item_id": 105, "exclude": "1,x"}, "exclude"),
        ({"item_id": 105, "exclude": ",".join(map(str, range(501)))}, "exclude"),
        ({"item_id": 105, "category": ""}, "category"),
        ({"item_id": 105, "filter": ""}, "filter"),
        ({"item_id": 105, "filter": "x" * 513}, "filter"),
        ({"item_id": 105, "filter": "colour=red"}, "filter"),
        ({"item_id": 105, "filter": "price<cheap"}, "filter"),
    ],
)
def test_a_bad_question_is_a_422_that_names_the_field(params: dict[str, Any], field: str) -> None:
    """As in /recommend."""
    response = get(wired(), "/similar", **params)
    assert (response.status_code, response.headers["content-type"]) == (422, "application/problem+json")
    assert field in [error["field"] for error in response.json()["errors"]]


def test_a_bug_is_a_500_with_its_own_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    """Problem details, the log says what happened, and it is counted as a failure."""

    def bug(*_: Any, **__: Any) -> Any:
        raise RuntimeError("a bug")

    monkeypatch.setattr(postprocess, "capped", bug)
    service = wired()
    response = get(service, "/similar", item_id=105)
    assert (response.status_code, response.json()["reason"]) == (500, "similar_failed")
    ((arm, values, _),) = service.metrics.records
    assert (arm, values) == (None, {SimilarMetric.REQUESTS: 1.0, SimilarMetric.FAILURE: 1.0})
    assert response.json()["detail"] == "The search failed; the log says why."


def test_without_factors_there_is_no_answer() -> None:
    """503, and when to come back."""
    response = get(Wired(factors=None), "/similar", item_id=105)
    assert (response.status_code, response.headers["retry-after"]) == (503, "5")
