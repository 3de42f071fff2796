"""The candidates of a request: whose vector, which source, and what may not come."""

import numpy as np
import pytest

from flagrank.candidates.generate import CandidateRequest, generate
from flagrank.candidates.user import resolve_user
from flagrank.domain import UserKind
from flagrank.model.factors import NO_ROWS
from tests.factories import make_factors


def test_a_known_user_is_served_from_the_published_row_with_the_seen_items_masked() -> None:
    """A trained user never sees a trained item again."""
    factors = make_factors()
    user = resolve_user(factors, 3, NO_ROWS)
    assert user.kind is UserKind.KNOWN
    served = {*generate(factors, CandidateRequest(user, 50))[0].tolist()}
    assert served == set(range(50)) - set(factors.seen(2).tolist())


def test_a_known_user_s_fresh_history_is_masked_too() -> None:
    """What the caller says was seen is not recommended."""
    factors = make_factors()
    user = resolve_user(factors, 3, np.array([7, 8], np.int64))
    served = {*generate(factors, CandidateRequest(user, 50))[0].tolist()}
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
    found, _ = generate(factors, CandidateRequest(resolve_user(factors, 999, NO_ROWS), 5, eligible=eligible))
    audio = [row for row in range(50) if row % 3 == 0]
    expected = sorted(audio, key=lambda row: (-factors.popularity[row], row))[:5]
    assert found.tolist() == expected


@pytest.mark.parametrize("user_id", [3, 999])
def test_pins_are_candidates_unless_they_are_seen_or_excluded(user_id: int) -> None:
    """A pinned item joins the pool behind the retrieved ones; a masked or filtered one does not."""
    factors = make_factors()
    user = resolve_user(factors, user_id, np.array([40], np.int64))
    first = generate(factors, CandidateRequest(user, 5))[0].tolist()
    pins = [row for row in range(50) if row not in first and row not in user.seen.tolist()][:3]
    always = np.array([*pins, 40], np.int64)
    found, _ = generate(factors, CandidateRequest(user, 5, excluded=np.array(pins[:1], np.int64), pinned=always))
    assert found.tolist() == [*first, *pins[1:]]
