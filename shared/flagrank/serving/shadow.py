"""What a rerank in shadow would have changed."""

from collections.abc import Sequence

import numpy as np

from flagrank.domain import Ranked, ShadowComparison


def compare(
    served: Sequence[Ranked], would: Sequence[Ranked], head: Sequence[Ranked], reranked: Sequence[Ranked]
) -> ShadowComparison:
    """Compares the final lists of both orders, and both orders of the head, which hold the same items."""
    got, items = (tuple(entry.candidate.item_id for entry in entries) for entries in (served, would))
    overlap = len({*got} & {*items}) / len(got) if got else 1.0
    place = {entry.candidate.row: rank for rank, entry in enumerate(reranked)}
    tau = kendall_tau([place[entry.candidate.row] for entry in head])
    return ShadowComparison(items, got != items, overlap, tau)


def kendall_tau(ranks: Sequence[int]) -> float:
    """Kendall's tau of distinct ranks against their positions; 1 for fewer than two (Kendall 1938)."""
    if len(ranks) < 2:
        return 1.0
    first, second = np.triu_indices(len(ranks), 1)
    order = np.asarray(ranks)
    return float(1 - 2 * (order[first] > order[second]).mean())
