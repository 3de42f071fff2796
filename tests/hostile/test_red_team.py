"""Sellers, users and a model that mean harm: the list stays one of eligible items, and no log tells what was said."""

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import cycle

import numpy as np
import pytest

from flagrank.flags.document import FlagDocument
from flagrank.model.catalog import Catalog, CatalogItem
from flagrank.model.factors import Factors
from flagrank.model.lexical import build_lexical_index
from flagrank.ports import Completion, Prompt
from tests.factories import CATEGORIES, make_factors
from tests.hostile.function import Function
from tests.hostile.texts import hostile_texts
from tests.wiring import items_of

TEXTS = hostile_texts()
FIRST_ID = 1000
BLOCKED, TOP_K, CAP = FIRST_ID + 7, 10, 5
USERS = 30
QUERY = "wireless headset kettle bicycle lamp"
MARK = "zq7canary"
SECRET = "sk-zq7canary-secret"
SETTINGS = {
    "FLAGRANK_RULES": json.dumps({"block": [BLOCKED]}),
    "FLAGRANK_OPENAI_URL": "http://127.0.0.1:9/v1",
    "FLAGRANK_OPENAI_KEY": SECRET,
}
FLAG = FlagDocument(enabled=True, percent=100, alpha=0.3, promotion_cap=CAP, answer="verbose")


def hostile_catalogue(mark: str = "") -> Factors:
    """A set whose every title and text is hostile."""
    texts = [f"{text} {mark}".strip() for text in TEXTS]
    ids = np.arange(FIRST_ID, FIRST_ID + len(TEXTS), dtype=np.int64)
    categories = cycle(CATEGORIES)
    items = [CatalogItem(text, next(categories), text) for text in texts]
    catalog = Catalog.of([item.to_line(FIRST_ID + row) for row, item in enumerate(items)])
    made = make_factors(len(TEXTS), USERS, item_ids=ids)
    return replace(made, catalog=catalog, lexical=build_lexical_index(texts))


def says(entries: Sequence[Mapping[str, object]]) -> Completion:
    return Completion(json.dumps({"items": entries}), "end_turn", 100, 50)


def obeys_the_last(prompt: Prompt) -> Completion:
    """The item that the baseline likes least is all that counts."""
    size = prompt.size
    entries = [{"i": i, "relevance": 100 * (i == size - 1), "allowed": True} for i in range(size)]
    return says(entries)


def brings_back_everything(prompt: Prompt) -> Completion:
    """Twice, and items that nobody asked about."""
    size = prompt.size
    entries = [{"i": i, "relevance": (7 * i) % 101, "allowed": True} for i in range(size)]
    strangers: list[Mapping[str, object]] = [
        {"i": size, "relevance": 100, "allowed": True},
        {"i": BLOCKED, "relevance": 100, "allowed": True},
    ]
    return says([*entries, *strangers])


def forbids_everything(prompt: Prompt) -> Completion:
    """Nothing may be shown."""
    return says([{"i": i, "relevance": i, "allowed": False} for i in range(prompt.size)])


def lies_about_types(prompt: Prompt) -> Completion:
    """Every other entry is of another type, or out of range."""
    lies: list[Mapping[str, object]] = [
        {"i": True, "relevance": 100, "allowed": True},
        {"i": 0, "relevance": 1e308, "allowed": True},
        {"i": -1, "relevance": 50, "allowed": True},
        {"i": "0", "relevance": "100", "allowed": "true"},
        {"i": 0, "relevance": 101, "allowed": True, "x": MARK},
    ]
    return says([*lies, *({"i": i, "relevance": i, "allowed": True} for i in range(prompt.size))])


def repeats_the_prompt(prompt: Prompt) -> Completion:
    """As models do that were talked into it."""
    return Completion(prompt.system + prompt.user, "end_turn", 100, 50)


def talks_without_end(prompt: Prompt) -> Completion:
    """A mebibyte of brackets."""
    return Completion("[{" * (1 << 19), "end_turn", 100, 10**20)


def reports_a_bill(prompt: Prompt) -> Completion:
    """An answer whose usage is none."""
    good = obeys_the_last(prompt)
    return Completion(good.text, good.stop_reason, -(10**30), 10**30)


def quotes_every_text(prompt: Prompt) -> Completion:
    """The texts in place of scores, so that an error's message would hold them."""
    return Completion(json.dumps({"items": [item["text"] for item in items_of(prompt)]}), "end_turn", 1, 1)


WORST = [
    *(obeys_the_last, brings_back_everything, forbids_everything, lies_about_types, repeats_the_prompt),
    *(talks_without_end, reports_a_bill, quotes_every_text),
]
type Says = Callable[[Prompt], Completion]


@pytest.fixture(scope="module")
def catalogue() -> Factors:
    return hostile_catalogue()


def test_there_are_enough_of_them() -> None:
    """More than 200, of every kind."""
    assert len(TEXTS) > 200
    assert max(map(len, TEXTS)) > 99_000


@pytest.mark.parametrize("model", WORST, ids=lambda says: says.__name__)
def test_the_worst_model_cannot_bend_a_list(catalogue: Factors, model: Says) -> None:
    """Ten items, each once, none that is blocked, seen or excluded, and none from farther away than the cap."""
    treated = Function(catalogue, FLAG, model, SETTINGS)
    control = Function(catalogue, FLAG.model_copy(update={"percent": 0.0}), model, SETTINGS)
    for user in range(1, USERS + 1):
        excluded = [FIRST_ID + user, FIRST_ID + user + 40]
        asked = {"user_id": user, "exclude": ",".join(map(str, excluded)), "query": QUERY}
        status, told = treated.recommend(top_k=TOP_K, **asked)
        _, baseline = control.recommend(top_k=TOP_K + CAP, **asked)
        items = told["top_items"]
        assert (status, len(items), len(set(items))) == (200, TOP_K, TOP_K)
        row = catalogue.user_row(user)
        assert row is not None
        seen = {catalogue.item_id(at) for at in catalogue.seen(row).tolist()}
        assert not {BLOCKED, *excluded, *seen} & {*items}
        assert {*items} <= {*baseline["top_items"]}


@pytest.mark.slow
def test_no_query_breaks_a_request(catalogue: Factors) -> None:
    """Each is answered, or refused as too long or empty; an answer holds ten items, each once."""
    function = Function(catalogue, FLAG, obeys_the_last, SETTINGS)
    for number, text in enumerate(TEXTS):
        status, told = function.recommend(user_id=number % USERS + 1, top_k=TOP_K, query=text, explain="true")
        assert status in (200, 422), text[:80]
        if status == 200:
            assert len({*told["top_items"]}) == TOP_K
            assert BLOCKED not in told["top_items"]


@pytest.mark.parametrize("model", WORST, ids=lambda says: says.__name__)
def test_no_line_tells_what_was_asked_or_what_was_read(
    model: Says, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """No word of a query, of an item or of a key at INFO and above, in metrics and logs alike, whatever goes wrong."""
    caplog.set_level(logging.INFO)
    function = Function(hostile_catalogue(MARK), FLAG, model, SETTINGS)
    for user in range(1, 6):
        function.recommend(user_id=user, query=f"wireless {MARK}query", explain="true")
        function.recommend(user_id=user, query=f"{MARK} " * 100)
        function.recommend(user_id=f"{MARK}-user", top_k="many")
        function.recommend(user_id=user, **{f"{MARK}": MARK})
    lines = capsys.readouterr().out + caplog.text
    assert '"RerankEligible"' in lines
    assert MARK not in lines
    assert SECRET not in lines


def test_no_line_tells_who_asked(capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    """No user's id, known or not."""
    caplog.set_level(logging.INFO)
    function = Function(make_factors(users=1), FLAG, obeys_the_last, SETTINGS)
    function.recommend(user_id=74839201, query="wireless")
    lines = capsys.readouterr().out + caplog.text
    assert '"Requests"' in lines
    assert "74839201" not in lines
