"""What the business insists on, applied last and in every arm: nothing the LLM says can undo it."""

import math
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from flagrank.domain import Ranked
from flagrank.errors import InvalidRequest
from flagrank.model.filters import Filter, parse_filter

MAX_FILTERS = 20


def _parsed(rules: object) -> tuple[Filter, ...]:
    texts = [rules] if isinstance(rules, str) else rules
    if not isinstance(texts, list | tuple) or not all(isinstance(text, str) for text in texts):
        raise ValueError("expected a filter such as brand=Auralis, or a list of them")
    try:
        return tuple(parse_filter(text) for text in texts)
    except InvalidRequest as error:
        raise ValueError(error.problem) from error


type Filters = Annotated[tuple[Filter, ...], Field(max_length=MAX_FILTERS), BeforeValidator(_parsed)]


class RuleSet(BaseModel):
    """What the business insists on, in every arm.

    `block` and `pin` are item ids. `require` and `exclude` are filters, each a text such as `brand=Auralis,price<50` or
    a list of such texts: what is listed meets all of `require` and none of `exclude`. `category_cap` is the most items
    one category may have in the list, 0 for no cap; `mmr_lambda` is relevance's weight in maximal marginal relevance: 1
    leaves the order as it is; `mmr_space` is what items are alike in: their factors, or their texts' embeddings where
    they were published. `new_item_share` is the largest share of the list for items that nobody has met yet.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    block: tuple[int | str, ...] = ()
    pin: Annotated[tuple[int | str, ...], Field(max_length=20)] = ()
    require: Filters = ()
    exclude: Filters = ()
    category_cap: Annotated[int, Field(ge=0)] = 0
    mmr_lambda: Annotated[float, Field(ge=0, le=1)] = 1.0
    mmr_space: Literal["factors", "embeddings"] = "factors"
    new_item_share: Annotated[float, Field(ge=0, le=1)] = 0.2


def without(ranked: Iterable[Ranked], blocked_rows: Collection[int]) -> Iterator[Ranked]:
    """The list less the blocked item rows: seen, excluded, blocked, of another category."""
    return (entry for entry in ranked if entry.candidate.row not in blocked_rows)


def pinned(ranked: Sequence[Ranked], pinned_rows: Sequence[int]) -> list[Ranked]:
    """The list with the pinned item rows first, in the order of the pins; a pin that is not in the list is ignored."""
    by_row = {entry.candidate.row: entry for entry in ranked}
    first = [by_row[row] for row in pinned_rows if row in by_row]
    return first + [entry for entry in ranked if entry.candidate.row not in pinned_rows]


def capped(
    ranked: Iterable[Ranked],
    category_cap: int,
    top_k: int,
    exempt_rows: Collection[int] = (),
    new_item_share: float = 1.0,
) -> list[Ranked]:
    """The first `top_k` of a list with at most `category_cap` items of one category among them, 0 for no cap.

    New items take at most `new_item_share` of those places. What exceeds a cap moves back, in order; it still fills
    the list when nothing else is left. Exempt rows (pins) count but never move. Nothing is read beyond what is taken.
    """
    new_item_cap = math.floor(new_item_share * top_k + 1e-9)
    taken, kept, moved = Counter[str](), list[Ranked](), list[Ranked]()
    new_items = 0
    for entry in ranked:
        category, is_new = entry.candidate.category, entry.candidate.is_new
        has_room = (category_cap == 0 or taken[category] < category_cap) and not (is_new and new_items >= new_item_cap)
        if has_room or entry.candidate.row in exempt_rows:
            kept.append(entry)
            taken[category] += 1
            new_items += is_new
            if len(kept) == top_k:
                break
        else:
            moved.append(entry)
    return (kept + moved)[:top_k]
