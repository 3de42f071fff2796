"""Queries on a catalogue of texts, where the intent behind each is known: does reranking find what was meant?"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np

from flagrank.domain import ItemId, Mode, Ranked, RecommendRequest, UserId
from flagrank.flags.document import FlagDocument
from flagrank.model.factors import Factors, Lexicon
from flagrank.offline.data.interactions import Dataset, Item
from flagrank.offline.evaluation import replay
from flagrank.offline.evaluation.blend import reblended
from flagrank.offline.evaluation.llm_simulators import LLMSimulator, SimulatedLLM
from flagrank.offline.metrics.ranking import bootstrap, ndcg_at_k
from flagrank.rerank.intent import tokenise

REQUESTS = 500
CANDIDATES = 140
CUTOFF = 10
MALFORMED = 0.04
INTENT_WORDS = 3
PROMOTION_CAPS = (5, 10, 20, 40)

# a click follows from how much of the intent an item meets, and a little from what the user likes anyway
CLICK_BIAS = -5.0
CLICK_OVERLAP = 6.0
CLICK_TASTE = 0.5

DROPPED = 0.15
MISSPELT = 0.1
SYNONYM = 0.5
OPENINGS = ("", "looking for a", "i need something", "please show me", "gift idea:", "any good")


@dataclass(frozen=True, slots=True)
class QueryRequest:
    """A request with its noisy query and the items that its user would click."""

    user_id: UserId
    query: str
    clicked: frozenset[ItemId]


def make_requests(dataset: Dataset, factors: Factors, count: int = REQUESTS, seed: int = 0) -> list[QueryRequest]:
    """Requests by users of the set: an intent, a query that words it badly, and clicks that follow the intent.

    The intent is some words of one of the user's candidates, as its seller wrote them. Clicks are drawn for each
    candidate from the share of the intent's words in its title and description, and from its baseline score; a draw
    without any click is drawn again. Synonyms in a query are the lexicon's, which serving folds as well: that part of
    the noise is undone by rewriting the query, dropped and misspelt words are not.
    """
    dice = random.Random(seed)  # noqa: S311 - data, not secrets
    recommender = replay.baseline(factors)
    surfaces = _surfaces(factors.lexicon)
    words = cache(lambda item_id: _words(dataset.item(item_id), factors.lexicon))
    requests: list[QueryRequest] = []
    users = factors.user_ids.tolist()
    while len(requests) < count:
        user_id = dice.choice(users)
        items = recommender.recommend(RecommendRequest(user_id, CANDIDATES)).items
        meant = words(dice.choice(items).candidate.item_id)
        intent = dice.sample(sorted(meant), min(INTENT_WORDS, len(meant)))
        clicked = _clicks(words, items, set(intent), dice)
        if clicked:
            requests.append(QueryRequest(user_id, _worded(intent, surfaces, dice), clicked))
    return requests


def query_effect(
    factors: Factors, requests: Sequence[QueryRequest], simulator: LLMSimulator, flag: FlagDocument
) -> dict[str, Any]:
    """NDCG@10 over the same candidates before and after, with the share of requests whose order the LLM changed.

    The candidates are those of the user's taste alone, from which the clicks were drawn: what an LLM adds where nothing
    else reads the query. `catalogue_queries` measures what is served. A share of the answers is malformed, as those of
    models are. `promotion_cap` is what each cap changes of the reranked order's NDCG@10.
    """
    factors = replace(factors, lexical=None)
    before, after = replay.baseline(factors), replay.reranking(factors, SimulatedLLM(simulator, MALFORMED), flag)
    asked = [RecommendRequest(request.user_id, CANDIDATES, query=request.query) for request in requests]
    clicked = [request.clicked for request in requests]
    plain = ndcg_at_k(replay.item_ids([before.recommend(query) for query in asked]), clicked, CUTOFF)
    answered = [after.recommend(query) for query in asked]
    reranked = ndcg_at_k(replay.item_ids(answered), clicked, CUTOFF)
    capped = {
        cap: ndcg_at_k([reblended(answer, flag.alpha, cap) for answer in answered], clicked, CUTOFF)
        for cap in PROMOTION_CAPS
    }
    applied = [answer.mode in (Mode.HYBRID_RERANK, Mode.PARTIAL_RERANK) for answer in answered]
    return {
        "requests": len(requests),
        "candidates": CANDIDATES,
        "ndcg@10": {"baseline": round(float(plain.mean()), 6), "reranked": round(float(reranked.mean()), 6)},
        "delta": {"ndcg@10": bootstrap(reranked - plain).document()},
        "promotion_cap": {str(cap): bootstrap(found - reranked).document() for cap, found in capped.items()},
        "applied": round(float(np.mean(applied)), 6),
    }


def _clicks(
    words: Callable[[ItemId], set[str]], items: Sequence[Ranked], intent: set[str], dice: random.Random
) -> frozenset[ItemId]:
    scores = np.array([entry.candidate.score for entry in items])
    tastes = (scores - scores.mean()) / max(float(scores.std()), 1e-9)
    clicked = set()
    for entry, taste in zip(items, tastes.tolist(), strict=True):
        item_id = entry.candidate.item_id
        overlap = len(intent & words(item_id)) / max(1, len(intent))
        if dice.random() < 1 / (1 + np.exp(-(CLICK_BIAS + CLICK_OVERLAP * overlap + CLICK_TASTE * taste))):
            clicked.add(item_id)
    return frozenset(clicked)


def _words(item: Item, lexicon: Lexicon) -> set[str]:
    # digits are model numbers, which nobody asks for
    return {word for word in tokenise(f"{item.title} {item.description}", lexicon) if not word.isdecimal()}


def _surfaces(lexicon: Lexicon) -> dict[str, list[str]]:
    surfaces: dict[str, list[str]] = {}
    for surface, canonical in sorted(lexicon.synonyms.items()):
        surfaces.setdefault(canonical, []).append(surface)
    return surfaces


def _worded(intent: Sequence[str], surfaces: dict[str, list[str]], dice: random.Random) -> str:
    kept = [word for word in intent if dice.random() >= DROPPED] or list(intent[:1])
    words = [dice.choice(surfaces[word]) if word in surfaces and dice.random() < SYNONYM else word for word in kept]
    words = [_misspelt(word, dice) if dice.random() < MISSPELT else word for word in words]
    return f"{dice.choice(OPENINGS)} {' '.join(words)}".strip()


def _misspelt(word: str, dice: random.Random) -> str:
    at = dice.randrange(len(word))
    return word[:at] + word[at + 1 :] if len(word) > 3 else word
