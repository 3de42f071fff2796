"""What a judge says of the head, blended into the baseline's order."""

from collections import deque
from collections.abc import Mapping, Sequence
from heapq import heappop, heappush
from types import MappingProxyType

from flagrank.domain import Ranked
from flagrank.ranking.pool import Entries, Pool

NOTHING_FILLED: Mapping[int, int] = MappingProxyType({})


class Hybrid(Entries):
    """A baseline in another order, in which what was judged has its blended score."""

    def __init__(
        self,
        baseline: Sequence[Ranked],
        order: Sequence[int],
        blended: Mapping[int, float],
        relevance: Mapping[int, int],
        student: Mapping[int, int],
    ) -> None:
        self._baseline = baseline
        self._order = order
        self._blended = blended
        self._relevance = relevance
        self._student = student

    def __len__(self) -> int:
        return len(self._order)

    def at(self, place: int) -> Ranked:
        """See Entries."""
        position = self._order[place]
        entry = self._baseline[position]
        if position not in self._blended:
            return entry
        llm, student = self._relevance.get(position), self._student.get(position)
        llm_score, student_score = (None if given is None else given / 100 for given in (llm, student))
        return Ranked(entry.candidate, self._blended[position], llm_score, student_score)


def hybrid_order(
    baseline: Sequence[Ranked],
    relevance: Mapping[int, int],
    alpha: float,
    student: Mapping[int, int] = NOTHING_FILLED,
    promotion_cap: int | None = None,
) -> Hybrid:
    """The baseline with its judged positions reordered by `alpha` * baseline + (1 - `alpha`) * relevance.

    `relevance` is the LLM's, 0..100 by position in the baseline, and `student` the student's for positions that the LLM
    has not judged. Judged items share out the positions that they held, so that an unjudged one keeps its own and the
    tail stays behind the head whatever its scores. Ties keep the baseline's order. An item rises by at most
    `promotion_cap` places, whatever is said of it; each place goes to the best of those that may rise so far.
    """
    scores = baseline.final_scores if isinstance(baseline, Pool) else [entry.final_score for entry in baseline]
    judged = {**student, **relevance}
    blended = {place: alpha * scores[place] + (1 - alpha) * (given / 100) for place, given in judged.items()}
    order, positions = list(range(len(scores))), sorted(blended)
    best = _by_score(positions, blended) if promotion_cap is None else _capped(positions, blended, promotion_cap)
    for place, position in zip(positions, best, strict=True):
        order[place] = position
    return Hybrid(baseline, order, blended, relevance, student)


def _by_score(positions: list[int], blended: Mapping[int, float]) -> list[int]:
    # a sort that is reversed keeps the order of equals
    return sorted(positions, key=blended.__getitem__, reverse=True)


def _capped(positions: list[int], blended: Mapping[int, float], promotion_cap: int) -> list[int]:
    waiting = deque(positions)
    allowed: list[tuple[float, int]] = []
    order = []
    for place in positions:
        while waiting and waiting[0] - place <= promotion_cap:
            position = waiting.popleft()
            heappush(allowed, (-blended[position], position))
        order.append(heappop(allowed)[1])
    return order
