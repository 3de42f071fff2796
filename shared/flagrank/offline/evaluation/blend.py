"""How much the baseline and the LLM weigh: both alphas of the flag, chosen on validation alone."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any

import numpy as np

from flagrank.domain import ItemId, Recommendation
from flagrank.flags.document import FlagDocument
from flagrank.offline.evaluation import replay
from flagrank.offline.evaluation.catalogue_queries import CUTOFF, asked, quality
from flagrank.offline.evaluation.llm_effect import FLAG
from flagrank.offline.evaluation.llm_simulators import LLMSimulator, SimulatedLLM
from flagrank.offline.evaluation.query_draw import Draws
from flagrank.offline.evaluation.stage_report import Trained
from flagrank.offline.metrics.ranking import Interval, PerUser, bootstrap
from flagrank.ranking.hybrid import hybrid_order
from flagrank.ranking.scoring import baseline_order

METRIC = f"ndcg@{CUTOFF}"
# the baseline's weight, from the baseline alone down
ALPHAS = (1.0, 0.99, 0.98, 0.95, 0.9, 0.8, 0.65, 0.5, 0.35, 0.2)
LLM_ALONE = 0.0
# what no kind of request may lose of METRIC: an interval that reaches further below 0 does not exclude such a loss
MARGIN = 0.005
EVIDENCE = {
    "alpha": "users of a fold of the training interactions, what they went on to choose",
    "alpha_query": "the validation draw of queries, each kind alike",
}


@dataclass(frozen=True, slots=True)
class Tried:
    """What a weight changes over the baseline alone, in METRIC: by kind of request, and over all kinds alike."""

    kinds: Mapping[str, Interval]
    overall: Interval

    @classmethod
    def of(cls, changes: Mapping[str, PerUser]) -> "Tried":
        """From the change of each request, by kind."""
        requests = sum(map(len, changes.values()))
        # kinds of which there are fewer requests count as much as the others
        weighed = [change * (requests / (len(changes) * len(change))) for change in changes.values()]
        return cls({kind: bootstrap(change) for kind, change in changes.items()}, bootstrap(np.concatenate(weighed)))

    @property
    def is_safe(self) -> bool:
        """Whether each kind's interval excludes a loss of more than MARGIN, and no kind is certain to lose."""
        return all(change.low >= -MARGIN and change.high >= 0 for change in self.kinds.values())


@dataclass(frozen=True, slots=True)
class Choice:
    """The baseline's weight that was chosen, and what each that was tried changes, for so many requests.

    A test of non-inferiority: of the weights that are safe for every kind of request the one whose gain is the most
    certain, by the lower end of its interval; the largest of equals, since that moves least. The baseline alone changes
    nothing, so one is always safe, and a gain that is not certain is none.
    """

    tried: Mapping[float, Tried]
    requests: int

    @property
    def alpha(self) -> float:
        """The weight that was chosen."""
        safe = {alpha: tried.overall.low for alpha, tried in self.tried.items() if tried.is_safe}
        return max(safe, key=lambda alpha: (safe[alpha], alpha))

    @property
    def gain(self) -> float:
        """What the chosen weight certainly gains over the baseline alone: the interval's lower end, over all kinds."""
        return self.tried[self.alpha].overall.low

    def document(self, evidence: str) -> dict[str, Any]:
        """What was chosen and by what evidence: each weight's change, and that of each kind for the chosen one."""
        return {
            "chosen": self.alpha,
            "evidence": f"{METRIC} of {self.requests} requests: {evidence}",
            "margin": MARGIN,
            "kinds": {kind: change.document() for kind, change in self.tried[self.alpha].kinds.items()},
            "tried": {
                f"{alpha:g}": {**tried.overall.document(), "safe": tried.is_safe} for alpha, tried in self.tried.items()
            },
        }


@dataclass(frozen=True, slots=True)
class Blend:
    """The choice for requests without a query, and two for those with one: with met queries judged, or left alone."""

    without_query: Choice
    with_query: Mapping[bool, Choice]

    @property
    def judge_met_queries(self) -> bool:
        """Whether more is gained with those queries judged; also where it makes no difference."""
        return self.with_query[True].gain >= self.with_query[False].gain

    def flag(self) -> FlagDocument:
        """The evaluation's flag with both weights."""
        is_judged = self.judge_met_queries
        update = {
            "alpha": self.without_query.alpha,
            "alpha_query": self.with_query[is_judged].alpha,
            "judge_met_queries": is_judged,
        }
        return FLAG.model_copy(update=update)

    def document(self) -> dict[str, Any]:
        """The choices, by the flag's own names."""
        is_judged = self.judge_met_queries
        other = self.with_query[not is_judged]
        found = {"alpha": self.without_query, "alpha_query": self.with_query[is_judged]}
        document = {name: choice.document(EVIDENCE[name]) for name, choice in found.items()}
        document["alpha_query"]["judge_met_queries"] = is_judged
        document["alpha_query"]["otherwise"] = {"chosen": other.alpha, "gain": round(other.gain, 6)}
        return document


def choose_blend(validation: Trained, draws: Draws, simulator: LLMSimulator) -> Blend:
    """The weights that do best on validation: its users' held-out items, and its draw of queries."""
    flag = FLAG.model_copy(update={"alpha": LLM_ALONE})
    recommender = replay.reranking(validation.factors, SimulatedLLM(simulator), flag)
    users = validation.users
    without = _reached(
        replay.answers(recommender, users.ids), True, lambda lists: users.quality(lists, (CUTOFF,))[METRIC]
    )
    queries = [query for kind in draws.values() for query in kind]
    answered = [recommender.recommend(asked(query, replay.LIST_LENGTH)) for query in queries]
    sizes = {name: len(kind) for name, kind in draws.items()}
    with_query = {
        is_judged: chosen(_reached(answered, is_judged, lambda lists: quality(queries, lists)[METRIC]), sizes)
        for is_judged in (True, False)
    }
    return Blend(chosen(without, {"users": len(users.ids)}), with_query)


def chosen(reached: Mapping[float, PerUser], kinds: Mapping[str, int]) -> Choice:
    """The choice by what each weight reached, by request; `kinds` says how many requests there are of each, in order.

    The weight 1, the baseline alone, is among them.
    """
    ends = list(accumulate(kinds.values(), initial=0))
    parts = {kind: slice(*both) for kind, both in zip(kinds, pairwise(ends), strict=True)}
    changes = {alpha: values - reached[1.0] for alpha, values in reached.items()}
    tried = {alpha: Tried.of({kind: change[part] for kind, part in parts.items()}) for alpha, change in changes.items()}
    return Choice(tried, ends[-1])


def _reached(
    answered: Sequence[Recommendation], judge_met_queries: bool, measure: Callable[[list[list[ItemId]]], PerUser]
) -> dict[float, PerUser]:
    return {alpha: measure([_with_weight(answer, alpha, judge_met_queries) for answer in answered]) for alpha in ALPHAS}


def _with_weight(answer: Recommendation, alpha: float, judge_met_queries: bool) -> list[ItemId]:
    query = answer.diagnostics.query
    # a query that no text meets is served as no query is, whatever the weight for queries
    is_left = query is not None and (not query.matches or (query.met_whole and not judge_met_queries))
    return reblended(answer, 1.0 if is_left else alpha)


def reblended(answer: Recommendation, alpha: float, promotion_cap: int | None = None) -> list[ItemId]:
    """The list that serving would have made of the same relevance with another weight of the baseline, or cap."""
    entries = sorted(answer.items, key=lambda entry: entry.candidate.rank)
    relevance = {
        place: round(100 * entry.llm_score) for place, entry in enumerate(entries) if entry.llm_score is not None
    }
    baseline = baseline_order([entry.candidate for entry in entries])
    ordered = hybrid_order(baseline, relevance, alpha, promotion_cap=promotion_cap)
    return [entry.candidate.item_id for entry in ordered]
