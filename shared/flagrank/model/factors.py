"""One published set of factors, in memory, with the look-ups that serving needs."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt

from flagrank.domain import AttributeValue, ItemId, UserId
from flagrank.errors import InvalidRequest
from flagrank.model.arrays import Floats, Ids, Mask, Rows
from flagrank.model.attributes import Attributes
from flagrank.model.catalog import Catalog
from flagrank.model.lexical import LexicalIndex
from flagrank.model.stage2 import Stage2
from flagrank.model.student import Student
from flagrank.model.text_words import TextWords
from flagrank.model.users import UserIndex, Users
from flagrank.model.vocabulary import Vocabulary

# so many rows of a few thousand weights add up in about a millisecond
MAX_SEEN = 500

# 18 digits always fit in int64
_INTEGER = re.compile(r"-?[0-9]{1,18}")


@dataclass(frozen=True)
class Lexicon:
    """Vocabulary as data: `synonyms` fold a token to its canonical form, `expansions` add what an intent implies."""

    synonyms: dict[str, str]
    expansions: dict[str, tuple[str, ...]]

    @cached_property
    def synonym_words(self) -> Vocabulary:
        """The words that are folded to another, for a misspelt one to be met by."""
        return Vocabulary.of(word for word in self.synonyms if word)

    @cached_property
    def remembered_words(self) -> dict[str, tuple[str, ...]]:
        """What `rerank.intent` has split items' texts into, by text: it is asked of the same items again and again."""
        return {}


@dataclass(frozen=True, slots=True)
class FoldIn:
    """ALS's own parameters, needed to fold a user in: `confidence` is that of one interaction of unknown strength."""

    regularization: float
    confidence: float


@dataclass(frozen=True, eq=False)
class Neighbours:
    """What an item's neighbours say of it: `rows` (n, k) int32, weights (n, k) float32, 0 where there are fewer than k.

    An item's score for a user is the sum of its weights over the neighbours that the user has seen: `ease` learned
    from co-occurrence, `session` from co-occurrence and closeness in time.
    """

    rows: npt.NDArray[np.int32]
    ease: Floats
    session: Floats


@dataclass(frozen=True, eq=False)
class Factors:
    """Factors and everything published with them.

    Items are stored by falling norm, so that retrieval can stop early. n items, u users, d factors:
    item_factors (n, d) float32; item_ids (n,) int64 or str; user_factors (u, d) float32; user_ids (u,) ascending;
    seen_indptr (u + 1,) int64 and seen_indices int32: item rows by user, oldest first; item_gram (d, d) float32,
    Y'Y over the items that training met; popularity (n,) float32, interactions per item: 0 marks a new item, whose
    factors are guessed from its text. Optional: `lexical`, the inverted index of the texts; `item_embeddings` (n, e)
    float32, unit rows or zeros where an item has no text; `neighbours`, or in a small set `item_weights` (n, n)
    float32, what a seen item (row) says of another (column); `stage2`, which reads all but the index; `student`, which
    reads the index and the embeddings; `attributes` by name, which filters and rules read.

    `user_index` says where the published users lie; it is None in a set of format 1, and in one just trained. Where it
    is there, u may be 0: then users are read one at a time.
    """

    version: str
    item_factors: Floats
    item_ids: Ids
    user_factors: Floats
    user_ids: Ids
    seen_indptr: npt.NDArray[np.int64]
    seen_indices: npt.NDArray[np.int32]
    item_gram: Floats
    popularity: Floats
    catalog: Catalog
    lexicon: Lexicon
    fold_in: FoldIn
    neighbours: Neighbours | None = None
    item_weights: Floats | None = None
    item_embeddings: Floats | None = None
    lexical: LexicalIndex | None = None
    stage2: Stage2 | None = None
    student: Student | None = None
    attributes: Attributes = field(default_factory=dict)
    user_index: UserIndex | None = None

    @property
    def users(self) -> Users:
        """The users that are in memory."""
        return Users(self.user_ids, self.user_factors, self.seen_indptr, self.seen_indices)

    @property
    def holds_users(self) -> bool:
        """Whether all users are in memory."""
        return self.user_index is None or self.user_index.users == len(self.user_ids)

    @property
    def user_count(self) -> int:
        """How many users the set has, in memory or not."""
        return len(self.user_ids) if self.user_index is None else self.user_index.users

    @cached_property
    def item_norms(self) -> Floats:
        """Euclidean norms, (n,) float32, falling."""
        norms: Floats = np.sqrt(np.einsum("nd,nd->n", self.item_factors, self.item_factors))
        return norms

    @cached_property
    def mean_user(self) -> npt.NDArray[np.float64]:
        """The mean of all users' factors, (d,); zeros where there are no users."""
        if self.user_index is not None:
            return self.user_index.mean
        users = self.user_factors
        return users.mean(axis=0, dtype=np.float64) if len(users) else np.zeros(users.shape[1])

    @cached_property
    def popular_rows(self) -> Rows:
        """Item rows by falling popularity, ties by row."""
        return np.argsort(-self.popularity, kind="stable")

    @cached_property
    def category_popularity(self) -> npt.NDArray[np.float64]:
        """Each category's share of all interactions, by its code."""
        counts = np.bincount(self.catalog.category_codes, weights=self.popularity)
        shares: npt.NDArray[np.float64] = counts / max(1.0, counts.sum())
        return shares

    def warm(self) -> None:
        """Computes at once what is computed on first use, so that no request waits for it."""
        if self.lexical is not None:
            self.lexical.warm()
            _ = self.lexicon.synonym_words.letters
        if self.student is not None:
            _ = self.text_words
        _ = (
            self.item_norms,
            self.mean_user,
            self.popular_rows,
            self.category_popularity,
            self.is_new,
            self.item_order,
        )

    @cached_property
    def text_words(self) -> TextWords:
        """The words of each item's text; the set must have a lexical index."""
        assert self.lexical is not None
        return TextWords.of(self.lexical, self.catalog.categories)

    @cached_property
    def is_new(self) -> Mask:
        """Which items training never met, (n,) bool."""
        never_met: Mask = self.popularity == 0
        return never_met

    @cached_property
    def item_order(self) -> Rows:
        """Item rows by rising id."""
        return np.argsort(self.item_ids, kind="stable")

    @property
    def has_int_ids(self) -> bool:
        """Whether ids were trained as integers."""
        return bool(np.issubdtype(self.item_ids.dtype, np.integer))

    def can_hold(self, raw: ItemId | UserId) -> bool:
        """Whether this could be an id of the trained type at all."""
        return not self.has_int_ids or _INTEGER.fullmatch(str(raw)) is not None

    def parse_id(self, field: str, raw: ItemId | UserId) -> int | str:
        """The id in the type in which it was trained; raises InvalidRequest naming `field`."""
        if not self.has_int_ids:
            return str(raw)
        if not self.can_hold(raw):
            raise InvalidRequest(field, f"ids of this catalogue are integers of up to 18 digits, got {str(raw)[:40]!r}")
        return int(raw)

    def user_row(self, user_id: UserId) -> int | None:
        """The user's row, None if unknown. `user_id` in the trained type."""
        row = int(np.searchsorted(self.user_ids, user_id))
        return row if row < len(self.user_ids) and self.user_ids[row] == user_id else None

    def item_rows(self, item_ids: Iterable[ItemId]) -> list[int | None]:
        """Each item's row, None where unknown, in the given order. Ids in the trained type."""
        wanted = list(item_ids)
        if not wanted:
            return []
        order = self.item_order
        at = np.minimum(np.searchsorted(self.item_ids, np.array(wanted), sorter=order), len(order) - 1)
        rows = order[at]
        return [int(row) if self.item_ids[row] == item_id else None for row, item_id in zip(rows, wanted, strict=True)]

    def seen(self, user_row: int) -> npt.NDArray[np.int32]:
        """Rows of the items that the user interacted with in training, oldest first."""
        return self.seen_indices[self.seen_indptr[user_row] : self.seen_indptr[user_row + 1]]

    def weight_from(self, seen: Rows) -> Floats:
        """What the item rows `seen` say of every item by `item_weights`, (n,) float32; an endless history's end counts.

        The set must have them.
        """
        assert self.item_weights is not None
        total: Floats = self.item_weights[seen[-MAX_SEEN:]].sum(axis=0)
        return total

    def attributes_of(self, row: int) -> dict[str, AttributeValue]:
        """The item's attributes by name, those of which it has a value."""
        values = {name: attribute.value(row) for name, attribute in self.attributes.items()}
        return {name: value for name, value in values.items() if value is not None}

    def item_id(self, row: int) -> ItemId:
        """The item's id as a plain int or str."""
        return self.item_ids[row].item()  # type: ignore[no-any-return]
