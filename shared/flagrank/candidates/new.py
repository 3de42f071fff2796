"""Items that nobody has met yet, whose factors are guessed from their texts."""

from flagrank.candidates.als import top_k
from flagrank.candidates.source import NOTHING, CandidateRequest, Found
from flagrank.model.factors import Factors


def new(factors: Factors, request: CandidateRequest, count: int) -> Found:
    """For a user with a vector: the best open items without interactions. A Source."""
    if request.user.vector is None or not factors.is_new.any():
        return NOTHING
    eligible = factors.is_new if request.eligible is None else factors.is_new & request.eligible
    return top_k(factors, request.user.vector, count, request.masked, eligible)
