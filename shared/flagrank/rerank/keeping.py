"""A judge that remembers: what it says is kept for training, where a setting allows it (infra/decisions/0073)."""

import logging
from collections.abc import Mapping
from concurrent.futures import Executor

from flagrank.errors import CacheUnavailable
from flagrank.flags.document import FlagDocument
from flagrank.ports import JudgementLog, KeptJudgements
from flagrank.rerank.judge import Judge, Judgement
from flagrank.rerank.records import entry_key, tells_apart
from flagrank.timing import Deadline

logger = logging.getLogger(__name__)


class KeepingJudge:
    """A Judge over another one, whose judgements a log keeps, and which no failure of the log reaches.

    The `executor` writes where somebody waits for the judgement; without one it is written at once.
    """

    def __init__(self, judge: Judge, log: JudgementLog, executor: Executor | None = None) -> None:
        self._judge = judge
        self._log = log
        self._executor = executor

    def version(self, flag: FlagDocument) -> str:
        """The inner judge's."""
        return self._judge.version(flag)

    def most_micro_usd(self, size: int, flag: FlagDocument) -> int:
        """The inner judge's."""
        return self._judge.most_micro_usd(size, flag)

    def judge(self, texts: Mapping[int, str], intent: str, flag: FlagDocument, deadline: Deadline) -> Judgement:
        """The inner judge's. A tied judgement teaches nothing, and is not kept."""
        judgement = self._judge.judge(texts, intent, flag, deadline)
        if tells_apart(judgement.relevance.values()):
            # positions are ranks in the baseline (see Judge)
            entries = ((entry_key(texts[rank]), score, rank) for rank, score in sorted(judgement.relevance.items()))
            kept = KeptJudgements(intent, flag.model_id, self.version(flag), tuple(entries))
            if self._executor is None:
                self._keep(kept)
            else:
                self._executor.submit(self._keep, kept)
        return judgement

    def _keep(self, kept: KeptJudgements) -> None:
        try:
            self._log.keep(kept)
        except CacheUnavailable:
            logger.warning("a judgement could not be kept for training", exc_info=True)
