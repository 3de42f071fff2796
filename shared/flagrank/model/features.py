"""What Stage 2 knows of each candidate: one code path for training and serving, so the two cannot diverge."""

import numpy as np
import numpy.typing as npt

from flagrank.model.arrays import Floats, Rows, Scores
from flagrank.model.factors import Factors, Neighbours
from flagrank.model.stage2 import Table, standardised

# the interactions that count as recent, and those that make up the profile a text is compared with
RECENT = 10
PROFILE = 50

# feature names by group, the unit of an ablation
GROUPS: dict[str, tuple[str, ...]] = {
    "als": ("als", "als_z", "als_log_rank"),
    "popularity": ("log_popularity",),
    "ease": ("ease", "ease_z"),
    "session": ("session", "session_z"),
    "recency": ("recent_session", "recent_session_z"),
    "category": ("category_share", "category_lift"),
    "activity": ("log_activity",),
    "text": ("text", "text_z"),
}
FEATURES = tuple(name for names in GROUPS.values() for name in names)


def feature_table(factors: Factors, seen: Rows, rows: Rows, scores: Scores, names: tuple[str, ...] = FEATURES) -> Table:
    """The features (c, names) float32 of candidates, for a user who has seen the item rows `seen`, oldest first.

    `rows` (c,) are the candidates' item rows by falling Stage 1 `scores` (c,). What the set does not carry
    (item weights, embeddings) is 0: `ease` is known from `neighbours` alone.
    """
    compared = {"als": scores, **_item_columns(factors, seen, rows), **_text_columns(factors, seen, rows)}
    by_deviation = standardised(np.array([*compared.values()], np.float32))
    columns: dict[str, npt.NDArray[np.floating] | float] = {
        **compared,
        **{f"{name}_z": column for name, column in zip(compared, by_deviation, strict=True)},
        "als_log_rank": np.log1p(np.arange(len(rows))),
        "log_popularity": np.log1p(factors.popularity[rows]),
        "log_activity": float(np.log1p(len(seen))),
        **_category_columns(factors, seen, rows),
    }
    # by feature, as it is filled and read
    table = np.empty((len(names), len(rows)), np.float32)
    for place, name in enumerate(names):
        table[place] = columns.get(name, 0.0)
    return table.T


def _item_columns(factors: Factors, seen: Rows, rows: Rows) -> dict[str, Floats]:
    if factors.item_weights is not None:
        return {
            "session": factors.weight_from(seen)[rows],
            "recent_session": factors.weight_from(seen[-RECENT:])[rows],
        }
    if factors.neighbours is None:
        return {}
    return _neighbour_columns(factors.neighbours, len(factors.item_ids), seen, rows)


def _neighbour_columns(neighbours: Neighbours, items: int, seen: Rows, rows: Rows) -> dict[str, Floats]:
    # one byte an item: gathering it is cheaper than intersecting each candidate's neighbours with the history
    met = np.zeros(items, np.uint8)
    met[seen] = 1
    met[seen[-RECENT:]] = 2
    met_neighbours = met[neighbours.rows[rows]]
    any_time = (met_neighbours > 0).astype(np.float32)
    lately = (met_neighbours > 1).astype(np.float32)
    ease, session = neighbours.ease[rows], neighbours.session[rows]
    return {
        "ease": np.einsum("ck,ck->c", ease, any_time),
        "session": np.einsum("ck,ck->c", session, any_time),
        "recent_session": np.einsum("ck,ck->c", session, lately),
    }


def _category_columns(factors: Factors, seen: Rows, rows: Rows) -> dict[str, npt.NDArray[np.float64]]:
    codes = factors.catalog.category_codes
    counts = np.bincount(codes[seen], minlength=len(factors.category_popularity))
    share = counts[codes[rows]] / max(1, len(seen))
    return {"category_share": share, "category_lift": share - factors.category_popularity[codes[rows]]}


def _text_columns(factors: Factors, seen: Rows, rows: Rows) -> dict[str, Floats]:
    if factors.item_embeddings is None or not len(seen):
        return {}
    profile = factors.item_embeddings[seen[-PROFILE:]].mean(axis=0)
    return {"text": factors.item_embeddings[rows] @ profile}
