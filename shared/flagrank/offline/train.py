"""Stage 1: ALS on implicit feedback, assembled into the set that serving reads."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
from implicit.als import AlternatingLeastSquares
from scipy.sparse import csr_matrix
from threadpoolctl import threadpool_limits

from flagrank.factors import Catalog, Factors, Floats, FoldIn
from flagrank.intent import ITEM_TEXT_TOKENS, rewrite_item
from flagrank.offline.interactions import Dataset, Interactions, Item

UNVERSIONED = "unversioned"

type Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class AlsParameters:
    """ALS and its confidence: `alpha` * (1 + `rating_weight` * (value - 1)).

    The defaults were found on validation folds cut from MovieLens 100K's ua.base (FACTS, "Quality").
    """

    factors: int = 64
    regularization: float = 24.0
    alpha: float = 1.5
    rating_weight: float = 0.25
    iterations: int = 15
    seed: int = 42
    text_tokens: int = ITEM_TEXT_TOKENS

    def recorded(self) -> dict[str, Any]:
        """The parameters as the manifest keeps them."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Matrix:
    """Confidences (u, n) with the ids of rows and columns, both ascending."""

    user_ids: npt.NDArray[Any]
    item_ids: npt.NDArray[Any]
    confidence: csr_matrix


def train(dataset: Dataset, parameters: AlsParameters, progress: Progress | None = None) -> Factors:
    """Trains on the dataset's interactions; `progress` hears of each iteration number done.

    Items that have texts but no interactions are left out: ALS knows nothing of them.
    """
    interactions = dataset.interactions.latest()
    matrix = confidence_matrix(interactions, parameters)
    # implicit parallelises over users itself; BLAS threads under its own only get in their way
    with threadpool_limits(1, "blas"):
        model = AlternatingLeastSquares(
            factors=parameters.factors,
            regularization=parameters.regularization,
            alpha=1.0,
            iterations=parameters.iterations,
            random_state=parameters.seed,
            use_gpu=False,
        )
        report = (lambda number, *_: progress(number + 1)) if progress else None
        model.fit(matrix.confidence, show_progress=False, callback=report)
    return assemble(dataset, interactions, matrix, model.item_factors, model.user_factors, parameters)


def confidence_matrix(interactions: Interactions, parameters: AlsParameters) -> Matrix:
    """The confidences that ALS sees (Hu, Koren, Volinsky 2008); `interactions` hold each pair once."""
    user_ids, rows = np.unique(interactions.users, return_inverse=True)
    item_ids, columns = np.unique(interactions.items, return_inverse=True)
    weights = parameters.alpha * (1 + parameters.rating_weight * (interactions.values - 1))
    shape = (len(user_ids), len(item_ids))
    return Matrix(user_ids, item_ids, csr_matrix((weights.astype(np.float32), (rows, columns)), shape=shape))


def assemble(
    dataset: Dataset,
    interactions: Interactions,
    matrix: Matrix,
    item_factors: Floats,
    user_factors: Floats,
    parameters: AlsParameters,
) -> Factors:
    """Factors as serving reads them: items by falling norm, seen items in time order, the Gram matrix beside them."""
    norms = np.linalg.norm(item_factors, axis=1)
    order = np.argsort(-norms, kind="stable")
    row_of_column = np.empty(len(order), np.int64)
    row_of_column[order] = np.arange(len(order))
    item_ids = matrix.item_ids[order]
    sorted_factors = np.ascontiguousarray(item_factors[order], np.float32)
    # interactions are in time order, and a stable sort by user keeps it
    by_user = np.argsort(np.searchsorted(matrix.user_ids, interactions.users), kind="stable")
    columns = np.searchsorted(matrix.item_ids, interactions.items)
    counts = np.bincount(np.searchsorted(matrix.user_ids, interactions.users), minlength=len(matrix.user_ids))
    return Factors(
        version=UNVERSIONED,
        item_factors=sorted_factors,
        item_ids=item_ids,
        user_factors=np.ascontiguousarray(user_factors, np.float32),
        user_ids=matrix.user_ids,
        seen_indptr=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        seen_indices=row_of_column[columns[by_user]].astype(np.int32),
        item_gram=sorted_factors.T @ sorted_factors,
        popularity=np.bincount(columns, minlength=len(order))[order].astype(np.float32),
        catalog=Catalog([_catalog_line(dataset, item_id.item(), parameters.text_tokens) for item_id in item_ids]),
        lexicon=dataset.lexicon,
        fold_in=FoldIn(parameters.regularization, float(np.median(matrix.confidence.data))),
    )


def _catalog_line(dataset: Dataset, item_id: int | str, text_tokens: int) -> bytes:
    item = dataset.items.get(item_id) or Item(f"Item {item_id}", "unknown", "")
    text = rewrite_item(item.title, item.category, item.description, dataset.lexicon, text_tokens)
    return orjson.dumps({"id": item_id, "title": item.title, "category": item.category, "text": text})
