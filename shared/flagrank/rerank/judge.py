"""What the reranker asks of whoever judges relevance: a chat model, a rerank model, or a script in a test."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from flagrank.domain import Usage
from flagrank.errors import RerankError
from flagrank.flags.document import FlagDocument
from flagrank.timing import Deadline


@dataclass(frozen=True, slots=True)
class Judgement:
    """Relevance 0..100 by position, what it took, and the commonest trouble on the way, None if there was none."""

    relevance: Mapping[int, int] = field(default_factory=dict)
    usage: Usage = field(default_factory=Usage)
    trouble: RerankError | None = None


class Judge(Protocol):
    """Says how well texts fit an intent. tests/contract/test_judge.py holds every judge to this."""

    def version(self, flag: FlagDocument) -> str:
        """What a score depends on besides intent, model and text: it is a part of every cache key."""

    def most_micro_usd(self, size: int, flag: FlagDocument) -> int:
        """What judging `size` texts may cost at most by our own counting of tokens, with what is asked twice."""

    def judge(self, texts: Mapping[int, str], intent: str, flag: FlagDocument, deadline: Deadline) -> Judgement:
        """Judges texts, given by their positions in the list; the lowest position is the baseline's best.

        Returns by the deadline with what is judged by then. Trouble is a part of the answer and never raised, so that
        what was used is not lost.
        """
