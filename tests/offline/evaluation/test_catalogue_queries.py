"""Does a query find what it names, and would the evaluation see it if it did not?"""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from flagrank.domain import RecommendRequest
from flagrank.model.factors import Factors
from flagrank.model.lexical import build_lexical_index
from flagrank.offline.data import synthetic
from flagrank.offline.data.interactions import Dataset
from flagrank.offline.data.movielens import read
from flagrank.offline.data.split import held_out_last
from flagrank.offline.evaluation import replay
from flagrank.offline.evaluation.catalogue_queries import BASELINE, catalogue_queries
from flagrank.offline.evaluation.catalogue_texts import CatalogueTexts
from flagrank.offline.evaluation.llm_effect import FLAG
from flagrank.offline.evaluation.llm_simulators import SimulatedLLM, simulate_by_words
from flagrank.offline.evaluation.query_draw import Draws, Part, draw
from flagrank.offline.metrics.ranking import bootstrap
from flagrank.offline.training.als import train
from tests.offline.datasets import QUICK
from tests.offline.ml100k import FOLDER, needs_ml100k

COUNT = 60
README = "cordless headset for work calls"


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return held_out_last(synthetic.generate())


@pytest.fixture(scope="module")
def factors(dataset: Dataset) -> Factors:
    return train(dataset, QUICK)


@pytest.fixture(scope="module")
def draws(dataset: Dataset, factors: Factors) -> Draws:
    return draw(dataset, factors, Part.TEST, COUNT)


@pytest.fixture(scope="module")
def measured(factors: Factors, draws: Draws) -> dict[str, Any]:
    return of_baseline(factors, draws)


def of_baseline(factors: Factors, draws: Draws) -> dict[str, Any]:
    return catalogue_queries(factors, draws, {BASELINE: replay.baseline(factors)})


def hits(measured: dict[str, Any], kind: str) -> float:
    found: float = measured[kind]["hits@10"][BASELINE]
    return found


def test_words_of_the_catalogue_are_found_whoever_asks(measured: dict[str, Any]) -> None:
    """As they are written, and in the lexicon's other spellings; taste alone reaches next to nothing of it."""
    assert hits(measured, "exact") >= 0.9
    assert hits(measured, "synonyms") >= 0.8
    assert measured["exact"]["recall"]["lexical"] > 0.9 > 0.2 > measured["exact"]["recall"]["als"]


def test_without_an_index_it_shows(factors: Factors, draws: Draws) -> None:
    """What is named is where chance and taste put it, a list or two of a hundred."""
    blind = of_baseline(replace(factors, lexical=None), draws)
    assert hits(blind, "exact") < 0.1
    assert hits(blind, "synonyms") < 0.1
    assert blind["exact"]["matched"] == blind["exact"]["recall"]["lexical"] == 0


def test_an_index_of_other_words_shows(factors: Factors, draws: Draws) -> None:
    """A source that finds much, but not what was asked for: every item is listed under the words of another."""
    texts = [factors.catalog[row].text for row in range(len(factors.item_ids))]
    wrong = of_baseline(replace(factors, lexical=build_lexical_index(texts[1:] + texts[:1])), draws)
    assert hits(wrong, "exact") < 0.15
    assert wrong["exact"]["matched"] == 1


def test_words_that_do_not_exist_fall_back_to_taste(factors: Factors, draws: Draws, measured: dict[str, Any]) -> None:
    """The list is the one without a query, and nothing says that a word was met."""
    assert measured["nothing"]["matched"] == 0
    recommender = replay.baseline(factors)
    for query in draws["nothing"][:10]:
        asked, plain = (RecommendRequest(query.user_id, 10, query=text) for text in (query.text, None))
        assert replay.item_ids([recommender.recommend(asked)]) == replay.item_ids([recommender.recommend(plain)])


def test_an_llm_without_a_clue_is_no_better(factors: Factors, draws: Draws) -> None:
    """Scores that ignore the intent lose what the baseline found, and the interval says so."""

    def clueless(prompt: str) -> list[dict[str, Any]] | None:
        entries = simulate_by_words(prompt)
        return entries and [{**entry, "relevance": 37 * int(str(entry["i"])) % 101} for entry in entries]

    exact = {"exact": draws["exact"]}
    flag = FLAG.model_copy(update={"alpha_query": 0.0})
    recommenders = {
        BASELINE: replay.baseline(factors),
        "clueless": replay.reranking(factors, SimulatedLLM(clueless), flag),
    }
    change = catalogue_queries(factors, exact, recommenders)["exact"]["delta"]["clueless"]
    assert change["ndcg@10"]["ci95"][1] < 0
    assert change["hits@10"]["ci95"][1] < 0


def test_two_users_with_one_query_get_different_lists_on_topic(factors: Factors, dataset: Dataset) -> None:
    """Taste orders among equals."""
    recommender = replay.baseline(factors)
    lists = replay.item_ids([recommender.recommend(RecommendRequest(user, 10, query="headset")) for user in (1, 2)])
    assert lists[0] != lists[1]
    headsets = CatalogueTexts.of(dataset).holding(["headset"])
    assert all(set(listed) <= headsets for listed in lists)


def test_the_readme_s_example_names_headsets_and_the_llm_knows_what_they_are_for(
    factors: Factors, dataset: Dataset
) -> None:
    """At least four of five are headsets for everybody in both arms, and the LLM lists more for work calls."""
    texts = CatalogueTexts.of(dataset)
    headsets = texts.holding(["headset"])
    wishes = {"work", "calls", "office", "microphone"}
    flag = FLAG.model_copy(update={"alpha_query": 0.6})
    arms = [replay.baseline(factors), replay.reranking(factors, SimulatedLLM(simulate_by_words), flag)]
    wished = []
    for arm in arms:
        answered = [arm.recommend(RecommendRequest(user, 5, query=README)) for user in factors.user_ids[::10].tolist()]
        lists = replay.item_ids(answered)
        assert all(len(headsets & set(listed)) >= 4 for listed in lists)
        wished.append(np.array([sum(len(wishes & texts.words[item_id].text) for item_id in each) for each in lists]))
    assert bootstrap(1.0 * (wished[1] - wished[0])).low > 0


@needs_ml100k
def test_titles_and_genres_are_found_on_movielens() -> None:
    """Two words of a title, two genres; and one genre brings more of what the user went on to rate than a title can."""
    films = read(FOLDER)
    its_factors = train(films, QUICK)
    found = of_baseline(its_factors, draw(films, its_factors, Part.TEST, COUNT))
    assert found.keys() == {"exact", "misspelt", "one_wrong", "category", "known_item", "taste", "nothing"}
    assert hits(found, "exact") >= 0.9
    assert hits(found, "category") >= 0.9
    assert hits(found, "taste") > hits(found, "nothing")
