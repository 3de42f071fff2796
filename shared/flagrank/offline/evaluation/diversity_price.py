"""What diversity costs: maximal marginal relevance over the test users, for a range of weights."""

from typing import Literal

from flagrank.model.arrays import Floats
from flagrank.offline.evaluation import replay
from flagrank.offline.evaluation.stage_report import Trained
from flagrank.offline.metrics import beyond_accuracy
from flagrank.offline.metrics.ranking import ndcg_at_k
from flagrank.ranking.rules import RuleSet

LAMBDAS = (1.0, 0.95, 0.9, 0.8, 0.7, 0.5)
CUTOFF = 10

type Space = Literal["factors", "embeddings"]


def diversity_price(trained: Trained) -> dict[str, list[dict[str, float | None]]]:
    """NDCG@10 and intra-list diversity for each weight of relevance, and the NDCG lost per unit of diversity gained.

    There is a list for each space in which the similarity of items is measured: factors and, if the set has any, the
    texts' embeddings. The price is None where diversity did not grow.
    """
    spaces: dict[Space, Floats | None] = {
        "factors": trained.factors.item_factors,
        "embeddings": trained.factors.item_embeddings,
    }
    return {space: _prices(trained, space, vectors) for space, vectors in spaces.items() if vectors is not None}


def _prices(trained: Trained, space: Space, vectors: Floats) -> list[dict[str, float | None]]:
    rows: list[dict[str, float | None]] = []
    for weight in LAMBDAS:
        recommender = replay.baseline(trained.factors, RuleSet(mmr_lambda=weight, mmr_space=space))
        answered = replay.answers(recommender, trained.users.ids, CUTOFF)
        ndcg = float(ndcg_at_k(replay.item_ids(answered), trained.users.relevant, CUTOFF).mean())
        lists = beyond_accuracy.rows_at(answered, CUTOFF)
        diversity = float(beyond_accuracy.intra_list_diversity(vectors, lists).mean())
        if not rows:
            first = (ndcg, diversity)
        gained = diversity - first[1]
        rows.append(
            {
                "mmr_lambda": weight,
                "ndcg@10": round(ndcg, 6),
                "diversity@10": round(diversity, 6),
                "price": round((first[0] - ndcg) / gained, 6) if gained > 1e-9 else None,
            }
        )
    return rows
