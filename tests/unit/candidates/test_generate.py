"""The candidates of a request: whose vector, which source, and what may not come."""

from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flagrank.candidates.als import top_k
from flagrank.candidates.generate import QUOTAS, SOURCES, generate
from flagrank.candidates.source import CandidateRequest, Term
from flagrank.candidates.user import resolve_user
from flagrank.domain import UserKind
from flagrank.model.arrays import NO_ROWS
from flagrank.model.stage2 import SourceName
from tests.factories import make_factors


def test_a_known_user_is_served_from_the_published_row_with_the_seen_items_masked() -> None:
    """A trained user never sees a trained item again."""
    factors = make_factors()
    user = resolve_user(factors, 3, NO_ROWS)
    assert user.kind is UserKind.KNOWN
    served = {*generate(factors, CandidateRequest(user, 50)).rows.tolist()}
    assert served == set(range(50)) - set(factors.seen(2).tolist())


def test_a_known_user_s_fresh_history_is_masked_too() -> None:
    """What the caller says was seen is not recommended."""
    factors = make_factors()
    user = resolve_user(factors, 3, np.array([7, 8], np.int64))
    served = {*generate(factors, CandidateRequest(user, 50)).rows.tolist()}
    assert not served & {7, 8}


def test_a_stranger_with_history_is_folded_in() -> None:
    """A history gives a vector that scores its own items above the average item."""
    factors = make_factors()
    history = np.array([4, 9, 11], np.int64)
    user = resolve_user(factors, 999, history)
    assert user.kind is UserKind.FOLD_IN
    assert user.vector is not None
    scores = factors.item_factors @ user.vector
    assert scores[history].mean() > scores.mean()


def test_a_cold_user_gets_the_most_popular_items_of_the_category() -> None:
    """Without a vector popularity decides, within the requested category."""
    factors = make_factors()
    eligible = factors.catalog.in_category("audio")
    found = generate(factors, CandidateRequest(resolve_user(factors, 999, NO_ROWS), 5, eligible=eligible)).rows
    audio = [row for row in range(50) if row % 3 == 0]
    expected = sorted(audio, key=lambda row: (-factors.popularity[row], row))[:5]
    assert found.tolist() == expected


@pytest.mark.parametrize("user_id", [3, 999])
def test_pins_are_candidates_unless_they_are_seen_or_excluded(user_id: int) -> None:
    """A pinned item joins the pool behind the retrieved ones; a masked or filtered one does not."""
    factors = make_factors()
    user = resolve_user(factors, user_id, np.array([40], np.int64))
    first = generate(factors, CandidateRequest(user, 5)).rows.tolist()
    pins = [row for row in range(50) if row not in first and row not in user.seen.tolist()][:3]
    always = np.array([*pins, 40], np.int64)
    found = generate(factors, CandidateRequest(user, 5, excluded=np.array(pins[:1], np.int64), pinned=always)).rows
    assert found.tolist() == [*first, *pins[1:]]


def test_without_a_query_the_candidates_are_als_s_own() -> None:
    """The published index changes nothing for a request without a query, to the last bit."""
    factors = make_factors(items=120)
    user = resolve_user(factors, 3, NO_ROWS)
    rows, scores = top_k(factors, factors.user_factors[2], 20, user.seen)
    for its_index in (factors.lexical, None):
        found = generate(replace(factors, lexical=its_index), CandidateRequest(user, 20))
        assert np.array_equal(found.rows, rows)
        assert np.array_equal(found.taste, scores)
        assert found.relevance is None
        assert set(found.found) == {"als"}


def test_a_query_finds_what_taste_alone_would_not() -> None:
    """Items that hold the query's words are candidates, wherever taste would place them."""
    factors = make_factors(items=400)
    user = resolve_user(factors, 3, NO_ROWS)
    terms = (Term("wireless"), Term("audio"))
    found = generate(factors, CandidateRequest(user, 40, terms))
    both = [row for row in range(400) if row % 7 == 0 and row % 3 == 0 and row not in user.seen]
    assert set(both) <= set(found.rows.tolist())
    assert found.relevance is not None
    relevance = dict(zip(found.rows.tolist(), found.relevance.tolist(), strict=True))
    assert {relevance[row] for row in both} == {1.0}
    assert found.matches == sum(value > 0 for value in relevance.values())


def test_every_candidate_names_its_sources() -> None:
    """An item that two sources found names both, in the order of the sources."""
    factors = make_factors(items=60)
    found = generate(factors, CandidateRequest(resolve_user(factors, 3, NO_ROWS), 60, (Term("wireless"),)))
    sources = found.sources()
    assert set(sources) == set(found.rows.tolist())
    assert ("lexical", "als") in sources.values()


def test_a_query_leaves_room_for_taste() -> None:
    """However many items a query names, a part of the candidates is the user's taste."""
    factors = make_factors(items=400)
    found = generate(factors, CandidateRequest(resolve_user(factors, 3, NO_ROWS), 40, (Term("thing"),)))
    assert len(found.found["lexical"]) == 30
    assert len(np.setdiff1d(found.found["als"], found.found["lexical"])) == 10


@settings(max_examples=60, deadline=None)
@given(
    user_id=st.sampled_from([1, 2, 999]),
    words=st.lists(st.sampled_from(["wireless", "audio", "steel", "thing", "17", "nowhere"]), max_size=3, unique=True),
    excluded=st.sets(st.integers(0, 79), max_size=30),
    pins=st.lists(st.integers(0, 79), max_size=4, unique=True),
    filtered=st.booleans(),
    count=st.integers(1, 90),
)
def test_no_source_brings_what_may_not_come(
    user_id: int, words: list[str], excluded: set[int], pins: list[int], filtered: bool, count: int
) -> None:
    """No candidate comes twice, is masked or ineligible, whatever is asked and whoever asks."""
    factors = make_factors(items=80)
    user = resolve_user(factors, user_id, NO_ROWS)
    eligible = factors.catalog.in_category("audio") if filtered else None
    terms = tuple(Term(word) for word in words)
    unwanted, pinned = np.array(sorted(excluded), np.int64), np.array(pins, np.int64)
    found = generate(factors, CandidateRequest(user, count, terms, unwanted, eligible, pinned))
    rows = found.rows.tolist()
    assert len(set(rows)) == len(rows) == len(found.taste)
    assert not {*rows} & {*excluded, *user.seen.tolist()}
    assert eligible is None or eligible[found.rows].all()
    open_items = 80 - len({*excluded, *user.seen.tolist()})
    if not filtered:
        assert len(rows) >= min(count, open_items)


def test_the_sources_of_a_set_are_known() -> None:
    """Every source that a published Stage 2 may name exists and has a quota."""
    assert set(get_args(SourceName.__value__)) == set(SOURCES) == set(QUOTAS)
