"""The heads that are read ahead are the heads that requests have."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flagrank.adapters.in_memory import ManualClock
from flagrank.domain import Reason, RecommendRequest
from flagrank.errors import InvalidRequest
from flagrank.flags.document import FlagDocument
from flagrank.ranking.rules import RuleSet
from flagrank.serving.resolve_rules import RulesBySet
from flagrank.warming.heads import Head, HeadReader
from tests.factories import make_factors
from tests.wiring import Wired, items_of

FACTORS = make_factors(items=200, users=30)
TREATED = FlagDocument(enabled=True, percent=100)


def reader(flag: FlagDocument = TREATED) -> HeadReader:
    return HeadReader(FACTORS, flag, RulesBySet(RuleSet()), ManualClock())


def judged_by_serving(request: RecommendRequest, flag: FlagDocument) -> tuple[str, set[str]]:
    """The intent and the texts of the prompts that the service sends for a request."""
    wired = Wired(flag, factors=FACTORS)
    answer = wired.service.recommend(request)
    texts = {item["text"] for prompt in wired.llm.prompts for item in items_of(prompt)}
    return answer.diagnostics.intent, texts


@settings(max_examples=40)
@given(
    user_id=st.integers(1, 40),
    query=st.sampled_from([None, "wireless", "cordless audio thing", "wirless thing 17", "calls", "nothing known"]),
    top_m=st.sampled_from([20, 60]),
    gate=st.booleans(),
)
def test_a_head_is_what_the_service_asks_the_llm_about(user_id: int, query: str | None, top_m: int, gate: bool) -> None:
    """The same intent and the same texts for any user and query; where the service asks nothing, there is no head."""
    flag = TREATED.model_copy(update={"top_m": top_m, "gate": gate, "gate_sparse_below": 0, "gate_flat_below": 0.05})
    request = RecommendRequest(user_id, query=query)
    found = reader(flag).read(request)
    intent, texts = judged_by_serving(request, flag)
    if isinstance(found, Head):
        assert (found.intent, set(found.texts)) == (intent, texts)
    else:
        assert texts == set()


@pytest.mark.parametrize(
    ("flag", "reason"),
    [
        (FlagDocument(enabled=False, percent=100), Reason.DISABLED),
        (FlagDocument(enabled=True, percent=0), Reason.SPLIT),
        (FlagDocument(enabled=True, percent=100, deny=("1",)), Reason.DENY),
        (FlagDocument(enabled=True, percent=100, alpha=1.0), Reason.ALPHA_ONE),
        (FlagDocument(enabled=True, percent=100, gate=True, gate_sparse_below=0), Reason.GATED),
    ],
)
def test_a_request_that_is_not_judged_says_why(flag: FlagDocument, reason: Reason) -> None:
    """The reason is the one that the request would be served with."""
    assert reader(flag).read(RecommendRequest(1)) is reason


def test_a_user_without_history_has_no_intent() -> None:
    """There is nothing to judge the items by."""
    assert reader().read(RecommendRequest(9999)) is Reason.NO_INTENT


def test_an_id_of_another_type_is_the_caller_s_fault() -> None:
    """It names the field, as the API does."""
    with pytest.raises(InvalidRequest, match="user_id"):
        reader().read(RecommendRequest("somebody"))
