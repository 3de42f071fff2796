"""How much the baseline and the LLM weigh: both alphas of the flag, chosen on validation alone."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from flagrank.domain import ItemId, Recommendation, RecommendRequest
from flagrank.flags.document import FlagDocument
from flagrank.offline.evaluation import replay
from flagrank.offline.evaluation.catalogue_queries import CUTOFF, asked, quality
from flagrank.offline.evaluation.llm_effect import FLAG
from flagrank.offline.evaluation.llm_simulators import LLMSimulator, SimulatedLLM
from flagrank.offline.evaluation.query_draw import Draws
from flagrank.offline.evaluation.stage_report import Trained
from flagrank.offline.metrics.ranking import PerUser, bootstrap
from flagrank.ranking.scoring import baseline_order, hybrid_order
from flagrank.serving.pipeline import Recommender

METRIC = f"ndcg@{CUTOFF}"
# the baseline's weight, from the baseline alone down
ALPHAS = (1.0, 0.95, 0.9, 0.8, 0.65, 0.5, 0.35, 0.2)
LLM_ALONE = 0.0
EVIDENCE = {
    "alpha": "users of a fold of the training interactions, what they went on to choose",
    "alpha_query": "the validation draw of queries, each kind alike",
}


@dataclass(frozen=True, slots=True)
class Choice:
    """The baseline's weight that was chosen, and for every weight the NDCG@10 that it reached, by request.

    `weights` (n,) are what each request counts for; they sum to n.
    """

    reached: dict[float, PerUser]
    weights: PerUser

    @property
    def alpha(self) -> float:
        """The weight of the highest mean; the largest of equals, since that moves least."""
        return max(self.reached, key=lambda alpha: (float((self.reached[alpha] * self.weights).mean()), alpha))

    def document(self, evidence: str) -> dict[str, Any]:
        """What was chosen and by what evidence: for each weight the change over the baseline alone."""
        plain = self.reached[1.0]
        changes = {alpha: bootstrap((reached - plain) * self.weights) for alpha, reached in self.reached.items()}
        return {
            "chosen": self.alpha,
            "evidence": f"{METRIC} of {len(plain)} requests: {evidence}",
            "tried": {f"{alpha:g}": change.document() for alpha, change in changes.items()},
        }


@dataclass(frozen=True, slots=True)
class Blend:
    """The choice for requests without a query, and for those with one."""

    without_query: Choice
    with_query: Choice

    def flag(self) -> FlagDocument:
        """The evaluation's flag with both weights."""
        return FLAG.model_copy(update={"alpha": self.without_query.alpha, "alpha_query": self.with_query.alpha})

    def document(self) -> dict[str, Any]:
        """Both choices, by the flag's own names."""
        choices = {"alpha": self.without_query, "alpha_query": self.with_query}
        return {name: choice.document(EVIDENCE[name]) for name, choice in choices.items()}


def choose_blend(validation: Trained, draws: Draws, simulator: LLMSimulator) -> Blend:
    """The weights that do best on validation: its users' held-out items, and its draw of queries."""
    flag = FLAG.model_copy(update={"alpha": LLM_ALONE})
    recommender = replay.reranking(validation.factors, SimulatedLLM(simulator), flag)
    users = validation.users
    without = _tried(
        recommender,
        [RecommendRequest(user_id, replay.LIST_LENGTH) for user_id in users.ids],
        lambda lists: users.quality(lists, (CUTOFF,))[METRIC],
    )
    queries = [query for kind in draws.values() for query in kind]
    with_query = _tried(
        recommender,
        [asked(query, replay.LIST_LENGTH) for query in queries],
        lambda lists: quality(queries, lists)[METRIC],
    )
    # kinds of which there are fewer queries count as much as the others
    sizes = np.concatenate([np.full(len(kind), len(kind), float) for kind in draws.values()])
    return Blend(
        Choice(without, np.ones(len(users.ids))),
        Choice(with_query, len(queries) / (len(draws) * sizes)),
    )


def _tried(
    recommender: Recommender, requests: Sequence[RecommendRequest], measure: Callable[[list[list[ItemId]]], PerUser]
) -> dict[float, PerUser]:
    answered = [recommender.recommend(request) for request in requests]
    return {alpha: measure([reblended(answer, alpha) for answer in answered]) for alpha in ALPHAS}


def reblended(answer: Recommendation, alpha: float) -> list[ItemId]:
    """The list that serving would have made of the same relevance with another weight of the baseline."""
    entries = sorted(answer.items, key=lambda entry: entry.candidate.rank)
    relevance = {
        place: round(100 * entry.llm_score) for place, entry in enumerate(entries) if entry.llm_score is not None
    }
    ordered = hybrid_order(baseline_order([entry.candidate for entry in entries]), relevance, alpha)
    return [entry.candidate.item_id for entry in ordered]
