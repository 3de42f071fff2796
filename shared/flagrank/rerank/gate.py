"""Whether a treated request is worth the LLM's price: the evidence for reranking is in few kinds of request."""

from collections.abc import Sequence

from flagrank.flags.document import FlagDocument
from flagrank.rerank.providers import RERANK, provider_of


def worth_asking(
    flag: FlagDocument, scores: Sequence[float], *, has_query: bool, interactions: int, top_k: int
) -> bool:
    """Whether the flag's gate lets the request through.

    A rerank model is asked about queries alone, unless the flag says `rerank_profiles`: such models are made for
    queries, and were seen to order related items worse than their source did (infra/decisions/0072).
    Somebody who wrote a query is always worth asking for. So is a user with fewer than `gate_sparse_below`
    interactions, of whom the baseline knows little, and a list whose end is a toss-up: a margin at the cut below
    `gate_flat_below`. `scores` are the pool's, raw, best first.
    """
    if provider_of(flag.model_id) == RERANK and not (has_query or flag.rerank_profiles):
        return False
    if not flag.gate or has_query or interactions < flag.gate_sparse_below:
        return True
    return margin_at_cut(scores, top_k) < flag.gate_flat_below


def margin_at_cut(scores: Sequence[float], top_k: int) -> float:
    """How far the list's last item is above the one as many places below the cut, as a share of the pool's range.

    The range is that of the raw scores: a cut is flat beside a first item that stands out.
    """
    if not scores:
        return 0.0
    spread = max(scores) - min(scores)
    last, below = (scores[min(place, len(scores)) - 1] for place in (top_k, 2 * top_k))
    return (last - below) / spread if spread > 0 else 0.0
