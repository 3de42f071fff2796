"""The judge that the flag's `model_id` chooses among those that this environment is configured for."""

from collections.abc import Mapping
from dataclasses import dataclass

from flagrank.domain import Usage
from flagrank.errors import LLMRejected
from flagrank.flags.document import FlagDocument
from flagrank.rerank.judge import Judge, Judgement
from flagrank.rerank.providers import provider_of
from flagrank.timing import Deadline


@dataclass(frozen=True, slots=True)
class RoutingJudge:
    """A Judge over one judge for each provider. A provider without one is refused, as `llm_rejected`, and counted."""

    judges: Mapping[str, Judge]

    def version(self, flag: FlagDocument) -> str:
        """See Judge."""
        judge = self.judges.get(provider_of(flag.model_id))
        return judge.version(flag) if judge else "not configured"

    def most_micro_usd(self, size: int, flag: FlagDocument) -> int:
        """See Judge."""
        judge = self.judges.get(provider_of(flag.model_id))
        return judge.most_micro_usd(size, flag) if judge else 0

    def judge(self, texts: Mapping[int, str], intent: str, flag: FlagDocument, deadline: Deadline) -> Judgement:
        """See Judge."""
        provider = provider_of(flag.model_id)
        judge = self.judges.get(provider)
        if judge is None:
            trouble = LLMRejected(f"{flag.model_id}: no {provider} models are configured in this environment")
            return Judgement(usage=Usage(rejected=1), trouble=trouble)
        return judge.judge(texts, intent, flag, deadline)
