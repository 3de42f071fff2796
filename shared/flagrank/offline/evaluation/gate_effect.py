"""The gate before the LLM: thresholds chosen on validation, the calls that they save and the gain that they keep."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from flagrank.candidates.user import resolve_user
from flagrank.domain import Recommendation, RecommendRequest
from flagrank.flags.document import FlagDocument
from flagrank.model.arrays import NO_ROWS
from flagrank.offline.evaluation import replay
from flagrank.offline.evaluation.llm_simulators import LLMSimulator, SimulatedLLM
from flagrank.offline.evaluation.query_ranking import QueryRequest
from flagrank.offline.evaluation.stage_report import Trained
from flagrank.offline.metrics.ranking import bootstrap, ndcg_at_k
from flagrank.rerank.gate import margin_at_cut

CUTOFF = 10
KEPT = 0.95
SPARSE_BELOW = (0, 10, 20, 40)
FLAT_QUANTILES = (0.0, 0.1, 0.25, 0.5, 0.75, 1.0)

type Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class GateObservations:
    """Requests, all (n,): what the gate decides by, and the change in NDCG@10 when the LLM is asked."""

    has_query: Mask
    interactions: npt.NDArray[np.int64]
    margins: npt.NDArray[np.float64]
    gain: npt.NDArray[np.float64]

    def passing(self, sparse_below: int, flat_below: float) -> Mask:
        """Which requests a gate with these thresholds lets through; see `gate.worth_asking`."""
        return self.has_query | (self.interactions < sparse_below) | (self.margins < flat_below)

    def saved_and_kept(self, is_open: Mask) -> tuple[float, float | None]:
        """The shares of calls saved and of gain kept; None where there is no gain to keep."""
        total = float(self.gain.sum())
        return float(1 - is_open.mean()), float(self.gain[is_open].sum()) / total if total > 0 else None


def observe(
    trained: Trained, requests: Sequence[QueryRequest], simulator: LLMSimulator, flag: FlagDocument
) -> GateObservations:
    """Requests with a query, and one without for each user with held-out items, which are what counts there.

    `flag` says how much the LLM weighs in each. As in `query_effect` the candidates are those of taste alone.
    """
    factors = replace(trained.factors, lexical=None)
    queries = [RecommendRequest(request.user_id, replay.LIST_LENGTH, query=request.query) for request in requests]
    queries += [RecommendRequest(user_id, replay.LIST_LENGTH) for user_id in trained.users.ids]
    relevant = [set(request.clicked) for request in requests] + trained.users.relevant
    before, after = replay.baseline(factors), replay.reranking(factors, SimulatedLLM(simulator), flag)
    served = [before.recommend(query) for query in queries]
    plain = ndcg_at_k(replay.item_ids(served), relevant, CUTOFF)
    reranked = ndcg_at_k(replay.item_ids([after.recommend(query) for query in queries]), relevant, CUTOFF)
    users = [resolve_user(trained.factors, query.user_id, NO_ROWS) for query in queries]
    return GateObservations(
        has_query=np.array([query.query is not None for query in queries]),
        interactions=np.array([len(user.seen) for user in users]),
        margins=np.array([margin_at_cut(_scores(answer), CUTOFF) for answer in served]),
        gain=reranked - plain,
    )


def gate_effect(validation: GateObservations, test: GateObservations) -> dict[str, Any]:
    """The gate with the thresholds that save most calls on validation and keep 95 % of its gain, measured on the test.

    `curve` has every pair of thresholds that was tried, and what it saves and keeps on the test.
    """
    margins = validation.margins[~validation.has_query]
    # 0 lets no request through because of its margin
    flat = sorted({0.0, *(round(float(np.quantile(margins, share)), 4) for share in FLAT_QUANTILES[1:])})
    tried = [(sparse_below, flat_below) for sparse_below in SPARSE_BELOW for flat_below in flat]
    chosen = max(tried, key=lambda thresholds: _worth(validation, thresholds))
    is_open, gain = test.passing(*chosen), test.gain
    saved, kept = test.saved_and_kept(is_open)
    return {
        "requests": len(gain),
        "with_query": int(test.has_query.sum()),
        **_named(*chosen),
        **_shares(saved, kept),
        "ndcg@10": {
            "always": bootstrap(gain).document(),
            "gated": bootstrap(np.where(is_open, gain, 0.0)).document(),
            "queries": bootstrap(gain[test.has_query]).document(),
            "no_query": bootstrap(gain[~test.has_query]).document(),
        },
        "curve": [
            {**_named(*thresholds), **_shares(*test.saved_and_kept(test.passing(*thresholds)))} for thresholds in tried
        ],
    }


def _worth(observed: GateObservations, thresholds: tuple[int, float]) -> tuple[bool, float]:
    saved, kept = observed.saved_and_kept(observed.passing(*thresholds))
    # where the LLM gains nothing, the gate that asks least is the best
    return kept is None or kept >= KEPT, saved


def _named(sparse_below: int, flat_below: float) -> dict[str, float]:
    return {"gate_sparse_below": sparse_below, "gate_flat_below": flat_below}


def _shares(saved: float, kept: float | None) -> dict[str, float | None]:
    return {"calls_saved": round(saved, 6), "gain_kept": None if kept is None else round(kept, 6)}


def _scores(answer: Recommendation) -> list[float]:
    return [entry.candidate.score for entry in answer.items]
