"""The users of an evaluation, and the items that were held out for each."""

from collections.abc import Sequence
from dataclasses import dataclass

from flagrank.domain import ItemId, UserId
from flagrank.offline.data.interactions import Interactions
from flagrank.offline.metrics.ranking import PerUser, RankedIds, ndcg_at_k, recall_at_k

CUTOFFS = (5, 10, 100)

type Lists = Sequence[RankedIds]


@dataclass(frozen=True, slots=True)
class HeldOutUsers:
    """Users with held-out items, in the order of the source: items that training never met count as missed."""

    ids: list[UserId]
    relevant: list[set[ItemId]]

    @classmethod
    def of(cls, held_out: Interactions) -> "HeldOutUsers":
        """The users of held-out interactions."""
        relevant: dict[UserId, set[ItemId]] = {}
        for user_id, item_id in zip(held_out.users.tolist(), held_out.items.tolist(), strict=True):
            relevant.setdefault(user_id, set()).add(item_id)
        return cls(list(relevant), list(relevant.values()))

    def quality(self, lists: Lists, cutoffs: Sequence[int] = CUTOFFS) -> dict[str, PerUser]:
        """Recall and NDCG at each cut-off, by user."""
        metrics = {"recall": recall_at_k, "ndcg": ndcg_at_k}
        return {f"{name}@{k}": metric(lists, self.relevant, k) for k in cutoffs for name, metric in metrics.items()}
