"""How much the LLM may weigh: what is gained, and what no kind of request may lose for it."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flagrank.domain import RecommendRequest
from flagrank.offline.data.split import held_out_last
from flagrank.offline.evaluation import replay
from flagrank.offline.evaluation.blend import ALPHAS, MARGIN, Blend, Choice, choose_blend, chosen, reblended
from flagrank.offline.evaluation.catalogue_queries import asked
from flagrank.offline.evaluation.llm_effect import FLAG
from flagrank.offline.evaluation.llm_simulators import SimulatedLLM, simulate_by_words
from flagrank.offline.evaluation.query_draw import Draws, Part, draw
from flagrank.offline.evaluation.stage_report import Trained, prepare
from flagrank.offline.metrics.ranking import PerUser
from flagrank.offline.training.two_stage import TrainingPlan
from tests.offline.datasets import QUICK, shop

REQUESTS = 40


@pytest.fixture(scope="module")
def trained() -> Trained:
    return prepare(held_out_last(shop(("audio",), users=40)), TrainingPlan(als=QUICK, kind="none"))


@pytest.fixture(scope="module")
def draws(trained: Trained) -> Draws:
    return draw(trained.dataset, trained.factors, Part.VALIDATION, 15)


def spread(mean: float, width: float = 0.0) -> PerUser:
    """Changes of REQUESTS requests around a mean: half of them so much above it, half below."""
    return mean + width * np.tile([1.0, -1.0], REQUESTS // 2)


def choice(changes: dict[float, list[PerUser]]) -> Choice:
    """The choice by each weight's changes, a kind of request after the other."""
    baseline = np.full(REQUESTS * len(next(iter(changes.values()))), 0.5)
    reached = {1.0: baseline, **{alpha: baseline + np.concatenate(parts) for alpha, parts in changes.items()}}
    kinds = {f"kind {number}": REQUESTS for number in range(len(baseline) // REQUESTS)}
    return chosen(reached, kinds)


def test_the_weight_that_gains_most_is_chosen() -> None:
    """Where no kind of request loses."""
    assert choice({0.9: [spread(0.01), spread(0.0)], 0.8: [spread(0.03), spread(0.01)]}).alpha == 0.8


def test_a_smaller_gain_that_is_certain_is_chosen_over_a_larger_one_that_is_not() -> None:
    """By the lower end of the interval; where no gain is certain, the baseline is left alone."""
    assert choice({0.9: [spread(0.01)], 0.5: [spread(0.012, width=0.03)]}).alpha == 0.9
    assert choice({0.5: [spread(0.001, width=0.01)]}).alpha == 1.0


def test_of_equal_weights_the_one_that_moves_least_is_chosen() -> None:
    """The baseline is changed no more than a gain pays for."""
    assert choice({0.9: [spread(0.01)], 0.8: [spread(0.01)]}).alpha == 0.9


def test_no_mean_gain_pays_for_a_kind_that_loses() -> None:
    """A weight that lifts the mean of the kinds is refused where one of them loses more than the margin."""
    found = choice({0.9: [spread(0.02), spread(0.0)], 0.5: [spread(0.2), spread(-2 * MARGIN)]})
    assert found.tried[0.5].overall.mean > found.tried[0.9].overall.mean
    assert (found.tried[0.5].is_safe, found.alpha) == (False, 0.9)


def test_a_loss_that_is_not_excluded_is_refused() -> None:
    """A kind that seems to gain is no evidence while its interval reaches below the margin."""
    assert choice({0.5: [spread(0.01, width=0.3)]}).alpha == 1.0
    assert choice({0.5: [spread(0.01, width=0.03)]}).alpha == 0.5


def test_a_loss_that_is_certain_is_refused_however_small() -> None:
    """A kind whose whole interval lies below zero is worse off, and the others do not make up for it."""
    assert choice({0.5: [spread(0.1), spread(-0.001)]}).alpha == 1.0
    assert choice({0.5: [spread(0.1), spread(-0.001, width=0.01)]}).alpha == 0.5


def test_where_every_weight_loses_the_baseline_is_left_alone() -> None:
    """Within the margin, too: a loss that is small is no gain."""
    assert choice({0.95: [spread(-0.001)], 0.5: [spread(-0.1)]}).alpha == 1.0


def test_a_kind_of_few_requests_counts_as_much_as_one_of_many() -> None:
    """The mean is over kinds."""
    baseline = np.zeros(110)
    found = chosen({1.0: baseline, 0.5: baseline + np.repeat([0.3, 0.1], [10, 100])}, {"few": 10, "many": 100})
    assert found.tried[0.5].overall.mean == pytest.approx(0.2)
    assert {kind: change.mean for kind, change in found.tried[0.5].kinds.items()} == pytest.approx(
        {"few": 0.3, "many": 0.1}
    )


@settings(max_examples=30, deadline=None)
@given(
    means=st.dictionaries(
        st.sampled_from([0.2, 0.5, 0.8, 0.95]), st.lists(st.floats(-0.05, 0.05), min_size=2, max_size=2), min_size=1
    )
)
def test_what_is_chosen_is_safe_and_no_safe_weight_gains_more(means: dict[float, list[float]]) -> None:
    """Whatever the kinds gain and lose."""
    found = choice({alpha: [spread(mean) for mean in both] for alpha, both in means.items()})
    best = found.tried[found.alpha]
    assert best.is_safe
    assert all(tried.overall.low <= best.overall.low for tried in found.tried.values() if tried.is_safe)


def test_both_weights_are_chosen_on_their_own_requests(trained: Trained, draws: Draws) -> None:
    """The document names the evidence, every weight that was tried, and each kind's change at the chosen one."""
    blend = choose_blend(trained, draws, simulate_by_words)
    document = blend.document()
    sizes = {"alpha": len(trained.users.ids), "alpha_query": sum(map(len, draws.values()))}
    for name, size in sizes.items():
        assert document[name]["evidence"].startswith(f"ndcg@10 of {size} requests: ")
        assert document[name]["tried"].keys() == {f"{alpha:g}" for alpha in ALPHAS}
        assert document[name]["margin"] == MARGIN
    assert document["alpha_query"]["kinds"].keys() == draws.keys()
    assert (blend.flag().alpha, blend.flag().alpha_query) == tuple(document[name]["chosen"] for name in sizes)


def test_queries_that_are_met_whole_are_left_alone_where_that_gains_more() -> None:
    """Otherwise they are judged, as a document says that does not mention them."""
    some, more = choice({0.9: [spread(0.01)]}), choice({0.5: [spread(0.02)]})
    assert Blend(some, {True: some, False: more}).flag().judge_met_queries is False
    assert Blend(some, {True: some, False: more}).flag().alpha_query == 0.5
    assert Blend(some, {True: some, False: some}).flag().judge_met_queries is True


def test_a_list_that_is_left_alone_is_the_one_that_serving_makes(trained: Trained, draws: Draws) -> None:
    """What serving leaves to the baseline counts as the baseline when weights are chosen."""
    flag = FLAG.model_copy(update={"alpha": 0.3, "judge_met_queries": False})
    served = replay.reranking(trained.factors, SimulatedLLM(simulate_by_words), flag)
    plain = replay.baseline(trained.factors)
    met = set()
    for query in (query for kind in draws.values() for query in kind[:5]):
        answer, baseline = (each.recommend(asked(query, replay.LIST_LENGTH)) for each in (served, plain))
        assert answer.diagnostics.query is not None
        met.add(answer.diagnostics.query.met_whole)
        if answer.diagnostics.query.met_whole:
            assert answer.items == baseline.items
    assert met == {True, False}


def test_an_llm_that_tells_nothing_apart_is_given_no_weight(trained: Trained, draws: Draws) -> None:
    """It changes no list at any weight, and the baseline alone is the largest of equals."""

    def flat(prompt: str) -> list[dict[str, Any]] | None:
        entries = simulate_by_words(prompt)
        return entries and [{**entry, "relevance": 50} for entry in entries]

    blend = choose_blend(trained, draws, flat)
    assert (blend.flag().alpha, blend.flag().alpha_query) == (1.0, 1.0)


@pytest.mark.parametrize(("alpha", "cap"), [(0.98, None), (0.8, None), (0.5, None), (0.3, 5)])
def test_a_list_that_is_blended_again_is_the_one_that_serving_makes(
    trained: Trained, draws: Draws, alpha: float, cap: int | None
) -> None:
    """With and without a query: what is chosen on is what is served."""
    requests = [RecommendRequest(user_id, replay.LIST_LENGTH) for user_id in trained.users.ids[:5]]
    requests += [asked(kind[0], replay.LIST_LENGTH) for kind in draws.values()]
    alone, served = (
        replay.reranking(trained.factors, SimulatedLLM(simulate_by_words), FLAG.model_copy(update=update))
        for update in ({"alpha": 0.0}, {"alpha": alpha, "promotion_cap": cap})
    )
    for request in requests:
        again = reblended(alone.recommend(request), alpha, cap)
        assert [again] == replay.item_ids([served.recommend(request)])
