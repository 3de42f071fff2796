"""Stage 1: ALS on implicit feedback, assembled into the set that serving reads."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Self

import numpy as np
import numpy.typing as npt
from implicit.als import AlternatingLeastSquares
from implicit.recommender_base import ModelFitError
from pydantic import Field, TypeAdapter
from scipy.sparse import csr_matrix
from threadpoolctl import threadpool_limits

from flagrank.domain import ItemId
from flagrank.errors import DataError
from flagrank.model.arrays import Floats
from flagrank.model.attributes import encoded
from flagrank.model.catalog import Catalog, CatalogItem
from flagrank.model.factors import Factors, FoldIn
from flagrank.model.lexical import build_lexical_index
from flagrank.offline.data.interactions import Dataset, Interactions
from flagrank.offline.training.new_items import MAX_KNOWN, TextFeatures, most_popular, predict_factors
from flagrank.offline.training.progress import Progress, silent
from flagrank.rerank.intent import ITEM_TEXT_TOKENS, rewrite_item

UNVERSIONED = "unversioned"

type Embeddings = Mapping[ItemId, Floats]


@dataclass(frozen=True, slots=True)
class AlsParameters:
    """ALS and the confidence of an interaction: `confidence_scale` * (1 + `rating_weight` * (value - 1)).

    The defaults are what `flagrank train --tune` finds best on folds of MovieLens 100K's ua.base: of 40 trials from
    here none was better, and 80 from implicit's own defaults came close.
    """

    factors: int = 64
    regularization: float = 24.0
    # `alpha` of Hu, Koren and Volinsky 2008, and recorded under that name; not the flag's weight of the baseline
    confidence_scale: Annotated[float, Field(alias="alpha")] = 1.5
    rating_weight: float = 0.25
    iterations: int = 15
    seed: int = 42
    text_tokens: int = ITEM_TEXT_TOKENS

    def recorded(self) -> dict[str, Any]:
        """The parameters as the manifest keeps them."""
        return {"alpha" if name == "confidence_scale" else name: value for name, value in asdict(self).items()}

    @classmethod
    def of(cls, recorded: Mapping[str, Any]) -> Self:
        """The parameters that a manifest keeps; raises pydantic's ValidationError."""
        return TypeAdapter(cls).validate_python(recorded)


@dataclass(frozen=True, slots=True)
class ConfidenceMatrix:
    """Confidences (u, n) with the ids of rows and columns, both ascending."""

    user_ids: npt.NDArray[Any]
    item_ids: npt.NDArray[Any]
    confidence: csr_matrix


def train(
    dataset: Dataset,
    parameters: AlsParameters,
    progress: Progress = silent,
    embeddings: Embeddings | None = None,
) -> Factors:
    """Trains on the dataset's interactions; raises DataError where ALS diverges, as it may without regularization.

    Items that have texts but no interactions get factors predicted from their texts, and from `embeddings` (e,) by item
    id if there are any: either every item of the dataset has one, or none has.
    """
    interactions = dataset.interactions.latest()
    matrix = confidence_matrix(interactions, parameters)
    # implicit runs threads of its own over users; BLAS threads beneath them only slow it down
    with threadpool_limits(1, "blas"):
        model = AlternatingLeastSquares(
            factors=parameters.factors,
            regularization=parameters.regularization,
            alpha=1.0,
            iterations=parameters.iterations,
            random_state=parameters.seed,
            use_gpu=False,
        )
        try:
            model.fit(
                matrix.confidence,
                show_progress=False,
                callback=lambda done, *_: progress("training ALS", done + 1, parameters.iterations),
            )
        except ModelFitError as error:
            raise DataError(dataset.name, None, "leaves ALS without finite factors; raise --regularization") from error
    return assemble(dataset, interactions, matrix, model.item_factors, model.user_factors, parameters, embeddings)


def confidence_matrix(interactions: Interactions, parameters: AlsParameters) -> ConfidenceMatrix:
    """The confidences that ALS sees (Hu, Koren, Volinsky 2008); `interactions` hold each pair once."""
    user_ids, rows = np.unique(interactions.users, return_inverse=True)
    item_ids, columns = np.unique(interactions.items, return_inverse=True)
    weights = parameters.confidence_scale * (1 + parameters.rating_weight * (interactions.values - 1))
    shape = (len(user_ids), len(item_ids))
    return ConfidenceMatrix(user_ids, item_ids, csr_matrix((weights.astype(np.float32), (rows, columns)), shape=shape))


def assemble(
    dataset: Dataset,
    interactions: Interactions,
    matrix: ConfidenceMatrix,
    item_factors: Floats,
    user_factors: Floats,
    parameters: AlsParameters,
    embeddings: Embeddings | None = None,
) -> Factors:
    """Factors as serving reads them: items by falling norm, seen items in time order, the Gram matrix beside them."""
    columns = np.searchsorted(matrix.item_ids, interactions.items)
    popularity = np.bincount(columns).astype(np.float32)
    met: list[ItemId] = matrix.item_ids.tolist()
    new: list[ItemId] = sorted(dataset.items.keys() - set(met))
    texts = {item_id: _text(dataset, item_id, parameters.text_tokens) for item_id in met + new}
    if new:
        predicted = _predicted(dataset, texts, met, new, item_factors, popularity, embeddings)
        item_factors = np.concatenate([item_factors, predicted])
        popularity = np.concatenate([popularity, np.zeros(len(new), np.float32)])
    order = np.argsort(-np.linalg.norm(item_factors, axis=1), kind="stable")
    row_of_column = np.empty(len(order), np.int64)
    row_of_column[order] = np.arange(len(order))
    item_ids = [(met + new)[column] for column in order.tolist()]
    sorted_factors = np.ascontiguousarray(item_factors[order], np.float32)
    # fold-in is a half step of ALS, which was not trained on the new items
    trained = sorted_factors[popularity[order] > 0]
    # interactions are in time order, and a stable sort by user keeps it
    by_user = np.argsort(np.searchsorted(matrix.user_ids, interactions.users), kind="stable")
    counts = np.bincount(np.searchsorted(matrix.user_ids, interactions.users), minlength=len(matrix.user_ids))
    return Factors(
        version=UNVERSIONED,
        item_factors=sorted_factors,
        item_ids=np.array(item_ids, matrix.item_ids.dtype if not new else None),
        user_factors=np.ascontiguousarray(user_factors, np.float32),
        user_ids=matrix.user_ids,
        seen_indptr=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        seen_indices=row_of_column[columns[by_user]].astype(np.int32),
        item_gram=trained.T @ trained,
        popularity=popularity[order],
        catalog=Catalog.of(_catalog_item(dataset, item_id, texts).to_line(item_id) for item_id in item_ids),
        lexicon=dataset.lexicon,
        lexical=build_lexical_index([texts[item_id] for item_id in item_ids]),
        fold_in=FoldIn(parameters.regularization, float(np.median(matrix.confidence.data))),
        item_embeddings=None if embeddings is None else _rows_of(embeddings, item_ids),
        attributes={
            name: encoded(attribute.type, [attribute.values.get(item_id) for item_id in item_ids])
            for name, attribute in dataset.attributes.items()
        },
    )


def _predicted(
    dataset: Dataset,
    texts: Mapping[ItemId, str],
    met: Sequence[ItemId],
    new: Sequence[ItemId],
    factors: Floats,
    popularity: Floats,
    embeddings: Embeddings | None,
) -> Floats:
    categories = {item_id: dataset.item(item_id).category for item_id in texts}
    vocabulary = TextFeatures.of([categories[item_id] for item_id in met], [texts[item_id] for item_id in met])

    def table(ids: Sequence[ItemId]) -> npt.NDArray[np.float64]:
        return vocabulary.table(
            [categories[item_id] for item_id in ids],
            [texts[item_id] for item_id in ids],
            None if embeddings is None else _rows_of(embeddings, ids),
        )

    rows = most_popular(popularity)
    known = table([met[row] for row in rows.tolist()])
    parts = (table(new[start : start + MAX_KNOWN]) for start in range(0, len(new), MAX_KNOWN))
    return predict_factors(known, factors[rows], popularity[rows], parts)


def effective_rank(factors: Factors) -> float:
    """How many directions the trained items' factors span (Roy and Vetterli 2007): exp of their spectrum's entropy."""
    singular = np.sqrt(np.maximum(np.linalg.eigvalsh(factors.item_gram.astype(np.float64)), 0))
    if not singular.any():
        return 0.0
    share = singular[singular > 0] / singular.sum()
    return float(np.exp(-(share * np.log(share)).sum()))


def _text(dataset: Dataset, item_id: ItemId, text_tokens: int) -> str:
    item = dataset.item(item_id)
    return rewrite_item(item.title, item.category, item.description, dataset.lexicon, text_tokens)


def _catalog_item(dataset: Dataset, item_id: ItemId, texts: Mapping[ItemId, str]) -> CatalogItem:
    item = dataset.item(item_id)
    return CatalogItem(item.title, item.category, texts[item_id])


def _rows_of(embeddings: Embeddings, item_ids: Sequence[ItemId]) -> Floats:
    return np.ascontiguousarray([embeddings[item_id] for item_id in item_ids], np.float32)
