"""Which heads are wanted: those of users without a query, and those of queries that are known to come."""

import itertools
import random
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from flagrank.domain import Arm, Reason, RecommendRequest, UserId
from flagrank.flags.assignment import decide
from flagrank.flags.document import FlagDocument, changed
from flagrank.model.factors import Factors
from flagrank.warming.heads import Head, HeadReader

SEED = 20_261_126
# so many heads tell the share that is covered to within a few hundredths
SAMPLED_HEADS = 200

# called with how many are done, and how many there are
type Tell = Callable[[int, int], None]


@dataclass(slots=True)
class Wanted:
    """One head for each intent, with the texts of all its heads; and why others have none, by reason."""

    texts: dict[str, dict[str, None]] = field(default_factory=dict)
    left_out: Counter[Reason] = field(default_factory=Counter)

    def add(self, found: Head | Reason) -> None:
        """Takes a head, or counts why there is none."""
        if isinstance(found, Head):
            self.texts.setdefault(found.intent, {}).update(dict.fromkeys(found.texts))
        else:
            self.left_out[found] += 1

    @property
    def heads(self) -> list[Head]:
        """The heads in the order in which their intents came."""
        return [Head(intent, tuple(texts)) for intent, texts in self.texts.items()]


def planned_flag(document: FlagDocument, percent: float | None) -> FlagDocument:
    """The document as it is, or as it will be at another percentage; raises ConfigurationError for an invalid one."""
    return document if percent is None else changed(document, {"enabled": True, "percent": percent})


def everyone_treated(document: FlagDocument) -> FlagDocument:
    """The document as anybody who is treated meets it."""
    return document.model_copy(update={"enabled": True, "percent": 100.0, "deny": ()})


def most_active(factors: Factors, count: int) -> list[UserId]:
    """The users with the most interactions that the set knows of, the most active first, ties by row."""
    rows = np.argsort(-np.diff(factors.seen_indptr), kind="stable")[:count]
    users: list[UserId] = factors.user_ids[rows].tolist()
    return users


def want_users(wanted: Wanted, reader: HeadReader, user_ids: Sequence[UserId], tell: Tell) -> None:
    """Adds what users without a query will have judged. Raises InvalidRequest for an id that the set cannot hold."""
    for done, user_id in enumerate(user_ids, 1):
        wanted.add(reader.read(RecommendRequest(user_id)))
        tell(done, len(user_ids))


def want_queries(
    wanted: Wanted, reader: HeadReader, queries: Sequence[str], user_ids: Iterable[UserId], tell: Tell
) -> None:
    """Adds what a query's askers will have judged, taking these users for them; `reader` must treat everyone."""
    askers = list(user_ids)
    for done, query in enumerate(queries, 1):
        for user_id in askers:
            wanted.add(reader.read(RecommendRequest(user_id, query=query)))
        tell(done, len(queries))


def cold_user(factors: Factors) -> UserId:
    """An id of the trained type that the set does not hold."""
    ids = itertools.count() if factors.has_int_ids else (f"nobody-{number}" for number in itertools.count())
    return next(user_id for user_id in ids if factors.user_row(user_id) is None)


def drawn_users(factors: Factors, flag: FlagDocument, count: int) -> tuple[list[UserId], list[UserId]]:
    """So many treated users, always the same ones of a set, and as many others as SAMPLED_HEADS, to check them by."""
    treated = [user_id for user_id in factors.user_ids.tolist() if decide(flag, user_id).arm is Arm.TREATMENT]
    random.Random(SEED).shuffle(treated)  # noqa: S311 - a sample, not a secret
    return treated[:count], treated[count : count + SAMPLED_HEADS]


def coverage(wanted: Wanted, reader: HeadReader, queries: Sequence[str], user_ids: Sequence[UserId]) -> float | None:
    """The mean share of a head that is wanted, over SAMPLED_HEADS of these users with one of the queries each.

    None where there is no such head. `reader` must treat everyone.
    """
    pairs = itertools.islice(zip(itertools.cycle(user_ids), itertools.cycle(queries), strict=False), SAMPLED_HEADS)
    found = (reader.read(RecommendRequest(user_id, query=query)) for user_id, query in pairs)
    shares = [
        sum(text in wanted.texts.get(head.intent, {}) for text in head.texts) / len(head.texts)
        for head in found
        if isinstance(head, Head)
    ]
    return sum(shares) / len(shares) if shares else None
