"""The heads that requests will have: the pipeline is asked itself, with a reranker that notes what it would judge.

So an intent, a head and its texts are what a request has, to the letter: there is no second pipeline that could differ.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from flagrank.adapters.in_memory import InMemoryFactorStore, InMemoryFlagSource
from flagrank.domain import Reason, RecommendRequest, RerankTally
from flagrank.flags.document import FlagDocument
from flagrank.model.factors import Factors
from flagrank.ports import Clock
from flagrank.rerank.reranker import IdentityReranker, Judged
from flagrank.serving.pipeline import Recommender
from flagrank.serving.resolve_rules import RulesBySet
from flagrank.timing import Deadline


@dataclass(frozen=True, slots=True)
class Head:
    """What a request would have judged: the intent's text, and the texts of the list's head, the best first."""

    intent: str
    texts: tuple[str, ...]


class _Note(IdentityReranker):
    """Notes what it is asked, and judges nothing."""

    head: Head | None = None

    def rerank(
        self, texts: Sequence[str], intent: str, flag: FlagDocument, deadline: Deadline, tally: RerankTally
    ) -> Judged:
        """No relevance at all."""
        self.head = Head(intent, tuple(texts))
        return Judged()


class HeadReader:
    """Reads the heads of requests over one published set, under one flag document and the stack's rules."""

    def __init__(self, factors: Factors, flag: FlagDocument, rules: RulesBySet, clock: Clock) -> None:
        self._note = _Note()
        self._recommender = Recommender(
            InMemoryFactorStore(factors), InMemoryFlagSource(flag), self._note, rules, clock
        )

    def read(self, request: RecommendRequest) -> Head | Reason:
        """The head that the LLM would be asked to judge, or why it would not be asked.

        A user in control is a reason too: `split`, `deny` or `disabled`. Raises InvalidRequest.
        """
        self._note.head = None
        answer = self._recommender.recommend(request)
        return self._note.head or answer.reason
