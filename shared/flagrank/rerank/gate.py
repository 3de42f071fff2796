"""Whether a treated request is worth the LLM's price: the evidence for reranking is in few kinds of request."""

from collections.abc import Sequence

from flagrank.domain import Candidate
from flagrank.flags.document import FlagDocument
from flagrank.ranking.scoring import by_range


def worth_asking(
    flag: FlagDocument, pool: Sequence[Candidate], *, has_query: bool, interactions: int, top_k: int
) -> bool:
    """Whether the flag's gate lets the request through.

    Somebody who wrote a query is always worth asking for. So is a user with fewer than `gate_sparse_below`
    interactions, of whom the baseline knows little, and a list whose end is a toss-up: a margin at the cut below
    `gate_flat_below`.
    """
    if not flag.gate or has_query or interactions < flag.gate_sparse_below:
        return True
    return margin_at_cut(pool, top_k) < flag.gate_flat_below


def margin_at_cut(pool: Sequence[Candidate], top_k: int) -> float:
    """How far the list's last item is above the one as many places below the cut, in the pool's range of scores."""
    scores = by_range(pool)
    return scores[min(top_k, len(pool)) - 1] - scores[min(2 * top_k, len(pool)) - 1] if pool else 0.0
