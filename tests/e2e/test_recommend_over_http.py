"""The API as its callers see it."""

import time

import httpx
import pytest

from flagrank.local.cloud import LocalCloud
from flagrank.offline.data import synthetic

QUERY = "cordless headset for work calls"


def test_the_readme_s_request_is_answered(http: httpx.Client) -> None:
    """Five distinct items, with the arm, the reason and every version."""
    answer = http.get("/recommend", params={"user_id": 123, "top_k": 5}).json()
    assert answer["user_id"] == 123
    assert len(set(answer["top_items"])) == 5
    assert (answer["mode"], answer["arm"], answer["reason"]) == ("hybrid_rerank", "treatment", "split")
    assert all(answer["versions"].values())


def test_a_query_moves_what_it_names_to_the_front(http: httpx.Client) -> None:
    """Over fifty users, the first five items share more words with the intent than without the query."""
    intent = {"wireless", "headset", "work", "calls", "office", "microphone"}

    def overlap(query: str | None) -> int:
        total = 0
        for user_id in range(1, 51):
            params = {"user_id": str(user_id), "top_k": "5", "explain": "true"}
            if query:
                params["query"] = query
            for item in http.get("/recommend", params=params).json()["items"]:
                total += len(intent & {item["category"], *item["title"].lower().split()})
        return total

    assert overlap(QUERY) > 1.5 * overlap(None)


def test_the_second_request_makes_no_llm_call(http: httpx.Client) -> None:
    """The same user and query is answered from the cache, with the same list, and says so."""
    params = {"user_id": "77", "query": "quiet blender for soup", "explain": "true"}
    first, second = (http.get("/recommend", params=params).json() for _ in range(2))
    assert first["diagnostics"]["llm_calls"] > 0
    assert (second["diagnostics"]["llm_calls"], second["diagnostics"]["cache_misses"]) == (0, 0)
    assert second["top_items"] == first["top_items"]


def test_get_and_post_answer_alike(http: httpx.Client) -> None:
    """A body is the same request as a query string."""
    get = http.get("/recommend", params={"user_id": 5, "top_k": 7, "query": "tent", "exclude": "1001,1008"}).json()
    post = http.post("/recommend", json={"user_id": 5, "top_k": 7, "query": "tent", "exclude": [1001, 1008]}).json()
    assert get == post


def test_a_stranger_with_history_is_served_from_it(http: httpx.Client) -> None:
    """Audio items in the history bring audio items, none of the history's own."""
    history = [1001, 1008, 1015, 1022]
    answer = http.post("/recommend", json={"user_id": 987654, "history": [*history, 3], "explain": True}).json()
    assert answer["diagnostics"]["user"] == "fold_in"
    assert answer["diagnostics"]["ignored_ids"] == 1
    assert not set(answer["top_items"]) & set(history)
    assert sum(item["category"] == "audio" for item in answer["items"]) >= 5


def test_an_unknown_user_is_a_cold_start(http: httpx.Client) -> None:
    """No 404: popular items."""
    response = http.get("/recommend", params={"user_id": 999_999})
    assert (response.status_code, response.json()["mode"]) == (200, "cold_start")
    assert len(response.json()["top_items"]) == 10


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"user_id": 1, "top_k": 0}, "top_k"),
        ({"user_id": 1, "top_k": 101}, "top_k"),
        ({"user_id": 1, "top_k": "x"}, "top_k"),
        ({}, "user_id"),
        ({"user_id": "no number"}, "user_id"),
        ({"user_id": "abc"}, "user_id"),
        ({"user_id": ""}, "user_id"),
        ({"user_id": 1, "query": ""}, "query"),
        ({"user_id": 1, "query": "   "}, "query"),
        ({"user_id": 1, "query": "x" * 257}, "query"),
        ({"user_id": 1, "exclude": "1,x"}, "exclude"),
        ({"user_id": 1, "exclude": ",".join(map(str, range(501)))}, "exclude"),
        ({"user_id": 1, "explain": "perhaps"}, "explain"),
    ],
)
def test_a_bad_query_string_is_a_422_that_names_the_field(
    http: httpx.Client, params: dict[str, str], field: str
) -> None:
    """RFC 9457 problem details, with the field in them."""
    response = http.get("/recommend", params=params)
    assert (response.status_code, response.headers["content-type"]) == (422, "application/problem+json")
    assert field in [error["field"] for error in response.json()["errors"]]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"user_id": 1, "histry": [1]}, "histry"),
        ({"user_id": 1, "history": list(range(501))}, "history"),
        ({"user_id": 1, "history": ["x"]}, "history"),
        ({"user_id": 1, "history": "1,2"}, "history"),
        ({"user_id": True}, "user_id"),
        ({"user_id": 1.5}, "user_id"),
        ({"user_id": 1, "top_k": "5"}, "top_k"),
        ({"top_k": 5}, "user_id"),
        ([1], "body"),
    ],
)
def test_a_bad_body_is_a_422_that_names_the_field(http: httpx.Client, body: object, field: str) -> None:
    """Unknown members are refused by name."""
    response = http.post("/recommend", json=body)
    assert response.status_code == 422
    assert field in [error["field"] for error in response.json()["errors"]]


def test_a_body_that_is_no_json_is_a_422(http: httpx.Client) -> None:
    """Broken JSON is the caller's error."""
    response = http.post("/recommend", content=b"{", headers={"content-type": "application/json"})
    assert response.status_code == 422


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/nowhere", 404), ("DELETE", "/recommend", 405)])
def test_routing_errors_are_problem_details_too(http: httpx.Client, method: str, path: str, status: int) -> None:
    """No error leaves as plain text."""
    response = http.request(method, path)
    assert (response.status_code, response.headers["content-type"]) == (status, "application/problem+json")


def test_a_filter_and_the_stock_hold_over_http(http: httpx.Client) -> None:
    """In both ways to ask: cheap items of two brands, all in stock, for a user with a query and for a stranger."""
    price, stock, brand = (each.values for each in synthetic.generate().attributes.values())
    wanted = "price<100, brand=Auralis|Borea"
    get = http.get("/recommend", params={"user_id": 5, "top_k": 20, "query": "tent", "filter": wanted}).json()
    post = http.post("/recommend", json={"user_id": 5, "top_k": 20, "query": "tent", "filter": wanted}).json()
    stranger = http.get("/recommend", params={"user_id": 999_999, "top_k": 20, "filter": wanted}).json()
    assert get["top_items"] == post["top_items"]
    for answer in (get, stranger):
        assert len(answer["top_items"]) == 20
        assert all(float(price[item]) < 100 and int(stock[item]) > 0 for item in answer["top_items"])
        assert {brand[item] for item in answer["top_items"]} == {"Auralis", "Borea"}


@pytest.mark.parametrize("wanted", ["price<", "colour=red", "brand>5", "stock>1.5", "x" * 513])
def test_a_bad_filter_is_a_422_that_names_it(http: httpx.Client, wanted: str) -> None:
    """In a query string, in a body, and for similar items."""
    responses = [
        http.get("/recommend", params={"user_id": 1, "filter": wanted}),
        http.post("/recommend", json={"user_id": 1, "filter": wanted}),
        http.get("/similar", params={"item_id": 1001, "filter": wanted}),
    ]
    for response in responses:
        assert (response.status_code, response.headers["content-type"]) == (422, "application/problem+json")
        assert [error["field"] for error in response.json()["errors"]] == ["filter"]


def test_similar_items_are_of_the_same_kind(http: httpx.Client) -> None:
    """More like this, narrowed by a filter; an item that does not exist is a 404."""
    shop = synthetic.generate()
    answer = http.get("/similar", params={"item_id": 1001, "top_k": 8, "filter": "price<300"}).json()
    assert answer["item_id"] == 1001
    assert len({*answer["similar_items"]} - {1001}) == 8
    assert [shop.items[item].category for item in answer["similar_items"]].count("audio") >= 6
    prices = shop.attributes["price"].values
    assert all(float(prices[item]) < 300 for item in answer["similar_items"])
    assert http.get("/similar", params={"item_id": 7}).status_code == 404


def test_health_names_the_factors_in_force(http: httpx.Client) -> None:
    """What a monitor asks."""
    assert http.get("/health").json()["status"] == "ok"


def test_the_interface_is_documented(http: httpx.Client) -> None:
    """OpenAPI knows both ways to ask."""
    assert http.get("/docs").status_code == 200
    assert set(http.get("/openapi.json").json()["paths"]["/recommend"]) == {"get", "post"}


def test_every_request_is_counted_in_cloudwatch(cloud: LocalCloud, http: httpx.Client) -> None:
    """EMF lines of the environments become metrics by arm."""
    http.get("/recommend", params={"user_id": 1})
    cloudwatch = cloud.client("cloudwatch")

    def names() -> set[str]:
        return {metric["MetricName"] for metric in cloudwatch.list_metrics(Namespace="Flagrank")["Metrics"]}

    # the lines are put into CloudWatch once a second
    for _ in range(50):
        if "Requests" in names():
            break
        time.sleep(0.1)
    assert {"Requests", "RecommendLatency", "RerankApplied"} <= names()
