"""The answers of a batch, strictly parsed, on their way into the score cache and onto the bill."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from flagrank.domain import Usage
from flagrank.errors import RerankError
from flagrank.flags.document import FlagDocument
from flagrank.ports import JudgementTask
from flagrank.rerank.answers import FORMS
from flagrank.rerank.batch_inference import BatchAnswer
from flagrank.rerank.judge import Judgement
from flagrank.rerank.parsing import parse_answer
from flagrank.rerank.pricing import BATCH_PRICE, Price, cost_micro_usd
from flagrank.timing import Deadline
from flagrank.warming.batch import BatchPlan


@dataclass(slots=True)
class BatchAnswers:
    """What a batch answered: relevance 0..100 by intent and text, and how its records fared.

    `errors` counts records that the service failed, by its words; `malformed` those that were answered and billed, and
    cannot be read, by reason; `unanswered` those of which nothing came; `unknown` lines that are no record of the plan.
    """

    scores: dict[str, dict[str, int]] = field(default_factory=dict)
    records: int = 0
    answered: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    malformed: Counter[str] = field(default_factory=Counter)
    unanswered: int = 0
    unknown: int = 0
    usage: Usage = field(default_factory=Usage)


def read_answers(plan: BatchPlan, answers: Iterable[BatchAnswer], prices: Mapping[str, Price]) -> BatchAnswers:
    """The answers to a plan's calls. A record that is answered twice counts once."""
    found, left, form = BatchAnswers(records=len(plan.calls)), dict(plan.calls), FORMS[plan.answer]
    for answer in answers:
        call = left.pop(answer.record_id, None)
        if call is None:
            found.unknown += 1
        elif answer.completion is None:
            found.errors[answer.error or "no reason given"] += 1
        else:
            found.usage.llm_calls += 1
            found.usage.input_tokens += answer.completion.input_tokens
            found.usage.output_tokens += answer.completion.output_tokens
            try:
                judged = parse_answer(answer.completion, len(call.texts), form)
            except RerankError as trouble:
                found.malformed[str(trouble.reason)] += 1
                continue
            found.answered += 1
            scores = found.scores.setdefault(call.intent, {})
            scores.update({call.texts[index]: relevance for index, relevance in judged.items()})
    found.unanswered = len(left)
    usage = found.usage
    whole = cost_micro_usd(prices, plan.model_id, usage.input_tokens, usage.output_tokens)
    usage.cost_micro_usd = round(BATCH_PRICE * whole)
    return found


@dataclass(frozen=True, slots=True)
class BatchJudge:
    """A Judge whose judgements a batch has made already, and which therefore cost nothing now."""

    plan: BatchPlan
    answers: BatchAnswers

    def version(self, flag: FlagDocument) -> str:
        """See Judge: the version under which the batch was asked."""
        return self.plan.version

    def most_micro_usd(self, size: int, flag: FlagDocument) -> int:
        """Nothing now."""
        return 0

    def judge(self, texts: Mapping[int, str], intent: str, flag: FlagDocument, deadline: Deadline) -> Judgement:
        """See Judge."""
        scores = self.answers.scores.get(intent, {})
        return Judgement({place: scores[text] for place, text in texts.items() if text in scores})

    def flag(self, document: FlagDocument) -> FlagDocument:
        """The document under which the answers are kept: the batch's model, and no cap, since all is paid for."""
        return document.model_copy(
            update={"model_id": self.plan.model_id, "answer": self.plan.answer, "daily_usd_cap": float("inf")}
        )

    def tasks(self) -> list[JudgementTask]:
        """One task for each intent that has scores."""
        return [
            JudgementTask(intent, self.plan.model_id, self.plan.version, tuple(scores))
            for intent, scores in self.answers.scores.items()
        ]
