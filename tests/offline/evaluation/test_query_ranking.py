"""Queries whose intent is known, and simulators of an LLM that do not know it."""

from dataclasses import replace

import numpy as np
import pytest

from flagrank.adapters.in_memory import HashedWordsEmbedder
from flagrank.domain import Reason, RecommendRequest
from flagrank.model.factors import Factors
from flagrank.offline.data.interactions import Dataset
from flagrank.offline.evaluation import replay
from flagrank.offline.evaluation.gate_effect import GateObservations, gate_effect, observe
from flagrank.offline.evaluation.llm_effect import FLAG
from flagrank.offline.evaluation.llm_simulators import EmbeddingSimulator, LLMSimulator, SimulatedLLM, simulate_by_words
from flagrank.offline.evaluation.query_ranking import PROMOTION_CAPS, QueryRequest, make_requests, query_effect
from flagrank.offline.evaluation.stage_report import prepare
from flagrank.offline.training.als import train
from flagrank.offline.training.two_stage import TrainingPlan
from flagrank.rerank.answers import VERBOSE
from flagrank.rerank.prompting import build_prompt
from tests.offline.datasets import QUICK, shop

SIMULATORS = {"words": simulate_by_words, "embeddings": EmbeddingSimulator(HashedWordsEmbedder())}


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return shop()


@pytest.fixture(scope="module")
def factors(dataset: Dataset) -> Factors:
    return train(dataset, QUICK)


@pytest.fixture(scope="module")
def requests(dataset: Dataset, factors: Factors) -> list[QueryRequest]:
    return make_requests(dataset, factors, count=150)


@pytest.mark.parametrize("simulator", SIMULATORS.values(), ids=SIMULATORS.keys())
def test_reranking_finds_what_was_meant(
    factors: Factors, requests: list[QueryRequest], simulator: LLMSimulator
) -> None:
    """NDCG@10 grows by more than chance, and 99 % of the requests are reranked although some answers are malformed."""
    effect = query_effect(factors, requests, simulator, FLAG)
    assert effect["applied"] >= 0.99
    assert effect["delta"]["ndcg@10"]["ci95"][0] > 0


def test_what_a_cap_on_promotion_costs_is_reported(factors: Factors, requests: list[QueryRequest]) -> None:
    """What is meant lies deep where nothing but the LLM reads the query: the tighter the cap, the more it costs."""
    price = query_effect(factors, requests, simulate_by_words, FLAG)["promotion_cap"]
    means = [price[str(cap)]["mean"] for cap in PROMOTION_CAPS]
    assert means == sorted(means)
    assert means[0] < means[-1] <= 0


def test_an_llm_without_a_clue_gains_nothing(factors: Factors, requests: list[QueryRequest]) -> None:
    """The gain is the LLM's and not the experiment's: scores that ignore the intent leave no gain."""

    def clueless(prompt: str) -> list[dict[str, object]] | None:
        entries = simulate_by_words(prompt)
        return entries and [{**entry, "relevance": 37 * int(str(entry["i"])) % 101} for entry in entries]

    assert query_effect(factors, requests, clueless, FLAG)["delta"]["ndcg@10"]["ci95"][0] <= 0


def test_requests_are_the_same_for_the_same_seed(
    dataset: Dataset, factors: Factors, requests: list[QueryRequest]
) -> None:
    """And others for another."""
    assert make_requests(dataset, factors, count=150) == requests
    assert make_requests(dataset, factors, count=150, seed=1) != requests


def test_every_request_has_clicks(requests: list[QueryRequest]) -> None:
    """NDCG of nothing is nothing."""
    assert all(request.clicked for request in requests)
    assert all(request.query for request in requests)


def test_an_embedding_simulator_reads_the_prompt_that_is_sent() -> None:
    """One entry for each item in the fence, the closest in words the most relevant; None without a fence."""
    by_meaning = EmbeddingSimulator(HashedWordsEmbedder())
    entries = by_meaning(build_prompt("red lamp", ["red lamp", "blue chair", "red chair"], VERBOSE).user)
    assert entries is not None
    relevance = [int(str(entry["relevance"])) for entry in entries]
    assert relevance[0] == 100 > relevance[2] > relevance[1]
    assert by_meaning("no fence here") is None


def asked(queries: int, gain_without: float, users: int = 40) -> GateObservations:
    """Requests with a query that gain .5 each, and requests without."""
    has_query = np.arange(queries + users) < queries
    spread = np.linspace(0, 1, queries + users)
    gain = np.where(has_query, 0.5, gain_without)
    return GateObservations(has_query, np.full(len(spread), 30), spread, gain)


def test_a_gate_is_chosen_on_validation_and_measured_on_the_test() -> None:
    """Where only queries gain on validation, the gate lets nothing else through, whatever the test would like."""
    effect = gate_effect(asked(60, gain_without=0.0), asked(20, gain_without=0.5))
    assert (effect["gate_sparse_below"], effect["gate_flat_below"]) == (0, 0.0)
    assert effect["calls_saved"] == pytest.approx(40 / 60, abs=1e-6)
    assert effect["gain_kept"] == pytest.approx(20 / 60, abs=1e-6)


def test_a_gate_keeps_what_gains_without_a_query() -> None:
    """Where every request gains alike, a gate that keeps 95 % of it saves next to nothing."""
    assert gate_effect(asked(60, gain_without=0.5), asked(60, gain_without=0.5))["calls_saved"] <= 0.05


def test_where_nothing_is_gained_the_gate_asks_least() -> None:
    """Nothing can be lost, so only queries pass; and of no gain no share is kept."""
    effect = gate_effect(asked(0, gain_without=-0.1), asked(10, gain_without=-1.0))
    assert (effect["gate_sparse_below"], effect["gate_flat_below"]) == (0, 0.0)
    assert effect["gain_kept"] is None


def test_what_is_observed_passes_as_the_served_gate_lets_it() -> None:
    """The share of open requests is the one that the gate itself lets through, request by request."""
    trained = prepare(shop(users=60), TrainingPlan(als=QUICK, kind="none"))
    requests = make_requests(trained.dataset, trained.factors, count=20)
    observed = observe(trained, requests, simulate_by_words, FLAG)
    sparse_below, flat_below = 25, float(np.median(observed.margins))
    flag = FLAG.model_copy(update={"gate": True, "gate_sparse_below": sparse_below, "gate_flat_below": flat_below})
    gated = replay.reranking(trained.factors, SimulatedLLM(simulate_by_words), flag)
    queries = [RecommendRequest(request.user_id, 10, query=request.query) for request in requests]
    queries += [RecommendRequest(user_id, 10) for user_id in trained.users.ids]
    served = [gated.recommend(query).reason is not Reason.GATED for query in queries]
    assert observed.passing(sparse_below, flat_below).tolist() == served
    assert len(set(served)) == 2


def test_new_words_do_not_stop_a_request(dataset: Dataset, factors: Factors) -> None:
    """A query that no candidate shares a word with is answered all the same."""
    strange = [replace(request, query="zzz qqq") for request in make_requests(dataset, factors, count=20)]
    assert query_effect(factors, strange, simulate_by_words, FLAG)["requests"] == 20
