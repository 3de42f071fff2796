"""What the business insists on, applied last and in every arm: nothing the LLM says can undo it."""

from collections import Counter
from collections.abc import Collection, Sequence

from flagrank.domain import Ranked


def without(ranked: Sequence[Ranked], blocked_rows: Collection[int]) -> list[Ranked]:
    """The list less the blocked item rows: seen, excluded, blocked, of another category."""
    return [entry for entry in ranked if entry.candidate.row not in blocked_rows]


def pinned(ranked: Sequence[Ranked], pinned_rows: Sequence[int]) -> list[Ranked]:
    """The list with the pinned item rows first, in the order of the pins; a pin that is not in the list is ignored."""
    by_row = {entry.candidate.row: entry for entry in ranked}
    first = [by_row[row] for row in pinned_rows if row in by_row]
    return first + [entry for entry in ranked if entry.candidate.row not in pinned_rows]


def capped(ranked: Sequence[Ranked], category_cap: int, top_k: int, exempt_rows: Collection[int] = ()) -> list[Ranked]:
    """The list with at most `category_cap` items of one category among the first `top_k`; 0 for no cap.

    What exceeds the cap moves back, in order; it still fills the list when nothing else is left. Exempt rows (pins)
    count but never move.
    """
    if category_cap == 0:
        return list(ranked)
    taken, kept, moved = Counter[str](), list[Ranked](), list[Ranked]()
    for entry in ranked:
        category = entry.candidate.category
        stays = entry.candidate.row in exempt_rows or taken[category] < category_cap
        if stays and len(kept) < top_k:
            kept.append(entry)
            taken[category] += 1
        else:
            moved.append(entry)
    return kept + moved
