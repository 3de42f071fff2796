"""When the LLM is asked."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from flagrank.domain import Mode, Reason
from flagrank.flags.document import FlagDocument
from flagrank.rerank.gate import margin_at_cut, worth_asking
from tests.wiring import Wired

GATED = {"gate": True, "gate_sparse_below": 5, "gate_flat_below": 0.1}


def is_open(*scores: float, has_query: bool = False, interactions: int = 50, **flag: Any) -> bool:
    document = FlagDocument(**{**GATED, **flag})
    return worth_asking(document, scores, has_query=has_query, interactions=interactions, top_k=2)


CLEAR = (1.0, 0.9, 0.5, 0.0)
FLAT = (1.0, 0.5, 0.49, 0.48, 0.0)


def test_a_query_is_always_worth_asking_for() -> None:
    """Somebody wrote what they want."""
    assert is_open(*CLEAR, has_query=True)


def test_a_sparse_user_is_worth_asking_for() -> None:
    """Fewer interactions than the threshold."""
    assert is_open(*CLEAR, interactions=4)
    assert not is_open(*CLEAR, interactions=5)


def test_a_flat_cut_is_worth_asking_for() -> None:
    """Where the second and the fourth hardly differ, which two are shown is a toss-up."""
    assert is_open(*FLAT)
    assert not is_open(*CLEAR)


def test_an_open_gate_lets_everything_through() -> None:
    """The default."""
    assert is_open(*CLEAR, gate=False)


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=30), st.integers(1, 40))
def test_the_margin_is_a_share_of_the_range(scores: list[float], top_k: int) -> None:
    """From nothing to everything, for any pool and any cut."""
    assert 0 <= margin_at_cut(sorted(scores, reverse=True), top_k) <= 1


def test_a_gated_request_gets_the_baseline_and_costs_nothing() -> None:
    """The reason is in the answer, and no call was made."""
    flag = FlagDocument(enabled=True, percent=100, alpha=0.0, gate=True, gate_sparse_below=0)
    wired = Wired(flag=flag)
    answer = wired.recommend(1)
    assert (answer.mode, answer.reason) == (Mode.BASELINE, Reason.GATED)
    assert wired.llm.prompts == []
    assert wired.recommend(1, query="red folding thing").mode is Mode.HYBRID_RERANK
