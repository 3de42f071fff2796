"""Queries whose intent is known, and judges that do not know it."""

from dataclasses import replace

import pytest

from flagrank.adapters.in_memory import HashedWordsEmbedder
from flagrank.factors import Factors
from flagrank.offline.interactions import Dataset
from flagrank.offline.judges import EmbeddingJudge, Judge, judge
from flagrank.offline.llm_effect import FLAG, gate_effect
from flagrank.offline.query_ranking import QueryRequest, make_requests, query_effect
from flagrank.offline.stage_report import prepare
from flagrank.offline.train import train
from flagrank.offline.two_stage import TrainingPlan
from flagrank.prompting import build_prompt
from tests.offline.datasets import QUICK, shop


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return shop()


@pytest.fixture(scope="module")
def factors(dataset: Dataset) -> Factors:
    return train(dataset, QUICK)


@pytest.fixture(scope="module")
def requests(dataset: Dataset, factors: Factors) -> list[QueryRequest]:
    return make_requests(dataset, factors, count=150)


@pytest.mark.parametrize("judged_by", [judge, EmbeddingJudge(HashedWordsEmbedder())], ids=["words", "embeddings"])
def test_reranking_finds_what_was_meant(factors: Factors, requests: list[QueryRequest], judged_by: Judge) -> None:
    """NDCG@10 grows by more than chance, and 99 % of the requests are reranked although some answers are malformed."""
    effect = query_effect(factors, requests, judged_by, FLAG)
    assert effect["applied"] >= 0.99
    assert effect["delta"]["ndcg@10"]["ci95"][0] > 0


def test_a_judge_without_a_clue_gains_nothing(factors: Factors, requests: list[QueryRequest]) -> None:
    """The gain is the judge's and not the experiment's: scores that ignore the intent leave no gain."""

    def clueless(prompt: str) -> list[dict[str, object]] | None:
        entries = judge(prompt)
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


def test_an_embedding_judge_reads_the_prompt_that_is_sent() -> None:
    """One entry for each item in the fence, the closest in words the most relevant; None without a fence."""
    by_meaning = EmbeddingJudge(HashedWordsEmbedder())
    entries = by_meaning(build_prompt("red lamp", ["red lamp", "blue chair", "red chair"]).user)
    assert entries is not None
    relevance = [int(str(entry["relevance"])) for entry in entries]
    assert relevance[0] == 100 > relevance[2] > relevance[1]
    assert by_meaning("no fence here") is None


def test_a_gate_is_chosen_on_one_half_and_judged_on_the_other(dataset: Dataset) -> None:
    """Queries always pass, so their share of the calls is the most that it leaves; what it saves is reported."""
    trained = prepare(dataset, TrainingPlan(als=QUICK, kind="none"))
    requests = make_requests(trained.dataset, trained.factors, count=100)
    effect = gate_effect(trained, requests, judge)
    assert effect["requests"] == (100 + len(trained.users.ids)) // 2
    assert 0 <= effect["calls_saved"] <= 1 - effect["with_query"] / effect["requests"] + 1e-6
    assert effect["gain_kept"] > 0.9


def test_new_words_do_not_stop_a_request(dataset: Dataset, factors: Factors) -> None:
    """A query that no candidate shares a word with is answered all the same."""
    strange = [replace(request, query="zzz qqq") for request in make_requests(dataset, factors, count=20)]
    assert query_effect(factors, strange, judge, FLAG)["requests"] == 20
