"""The listwise judge: a chat model is asked in parallel micro-batches, each with a budget, all by one deadline."""

import logging
import math
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from dataclasses import dataclass, field, replace

from flagrank.domain import Usage
from flagrank.errors import (
    BudgetExhausted,
    CutOffAnswer,
    LLMRejected,
    LLMThrottled,
    LowCoverage,
    MalformedAnswer,
    RerankError,
    RerankTimeout,
    UnknownRerankError,
)
from flagrank.flags.document import FlagDocument
from flagrank.ports import Completion, LLMClient, Prompt
from flagrank.rerank import prompting
from flagrank.rerank.answers import FORMS, AnswerForm
from flagrank.rerank.judge import Judgement
from flagrank.rerank.parsing import parse_answer
from flagrank.rerank.pricing import Price, cost_micro_usd
from flagrank.rerank.reported_usage import believed_tokens
from flagrank.timing import Deadline

# a call is not worth its price with less than this share of its budget left
MIN_CALL_SHARE = 0.5
MALFORMED = (MalformedAnswer, CutOffAnswer, LowCoverage)

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Batch:
    """One micro-batch: positions in the list, and the prompt that asks about them in that order."""

    positions: tuple[int, ...]
    prompt: Prompt
    attempt: int = 1


@dataclass(frozen=True, slots=True)
class ListwiseJudge:
    """A Judge over a chat model. `executor` bounds the calls in flight; prices by model id, ANY_MODEL for any other."""

    llm: LLMClient
    executor: Executor
    prices: Mapping[str, Price]
    batch_items: int
    parallel_calls: int

    def version(self, flag: FlagDocument) -> str:
        """See Judge."""
        return FORMS[flag.answer].version

    def most_micro_usd(self, size: int, flag: FlagDocument) -> int:
        """See Judge: all of `max_input_tokens`, and each answer at its cap, twice."""
        form, batches = FORMS[flag.answer], math.ceil(size / self.batch_items)
        written = 2 * batches * form.max_output_tokens(min(size, self.batch_items))
        return cost_micro_usd(self.prices, flag.model_id, flag.max_input_tokens, written)

    def judge(self, texts: Mapping[int, str], intent: str, flag: FlagDocument, deadline: Deadline) -> Judgement:
        """See Judge. A malformed or late batch is asked once more while both budgets allow it.

        What is still out at the deadline is left behind: its thread ends by the call's own timeout, and its input is
        billed all the same.
        """
        batches = plan(texts, intent, FORMS[flag.answer], self.batch_items, flag.max_input_tokens)
        if not batches:
            return Judgement(trouble=BudgetExhausted("max_input_tokens leaves no room for a single item"))
        asking = _Asking(self, flag, deadline, deque(batches), flag.max_input_tokens)
        asking.run()
        usage = asking.usage
        usage.cost_micro_usd = cost_micro_usd(self.prices, flag.model_id, usage.input_tokens, usage.output_tokens)
        return Judgement(asking.relevance, usage, _commonest(asking.troubles))

    def submit(self, batch: Batch, flag: FlagDocument) -> Future[Completion]:
        """Sends one micro-batch."""
        return self.executor.submit(
            self.llm.complete,
            batch.prompt,
            model_id=flag.model_id,
            max_output_tokens=FORMS[flag.answer].max_output_tokens(batch.prompt.size),
            timeout_ms=flag.call_budget_ms,
        )


@dataclass(slots=True)
class _Asking:
    """One judgement under way: what waits, what runs, and what came of it so far."""

    judge: ListwiseJudge
    flag: FlagDocument
    deadline: Deadline
    waiting: deque[Batch]
    spendable_tokens: int
    running: dict[Future[Completion], Batch] = field(default_factory=dict)
    relevance: dict[int, int] = field(default_factory=dict)
    troubles: list[RerankError] = field(default_factory=list)
    usage: Usage = field(default_factory=Usage)

    def run(self) -> None:
        """Asks until everything is answered or the deadline is there."""
        while self.waiting or self.running:
            while self.waiting and len(self.running) < self.judge.parallel_calls:
                self._send(self.waiting.popleft())
            timeout_s = self.deadline.remaining_ms() / 1000
            done, _ = wait(self.running, timeout=timeout_s, return_when=FIRST_COMPLETED)
            if not done:
                break
            for future in done:
                self._receive(future, self.running.pop(future))
        for future, batch in self.running.items():
            future.cancel()
            self.troubles.append(_late(batch, self.usage))

    def _send(self, batch: Batch) -> None:
        self.spendable_tokens -= prompting.estimate_input_tokens(batch.prompt)
        self.running[self.judge.submit(batch, self.flag)] = batch
        self.usage.llm_calls += 1

    def _receive(self, future: Future[Completion], batch: Batch) -> None:
        try:
            self.relevance |= _answer(future, batch, FORMS[self.flag.answer], self.usage)
        except RerankError as trouble:
            self.troubles.append(trouble)
            is_affordable = prompting.estimate_input_tokens(batch.prompt) <= self.spendable_tokens
            if is_affordable and _worth_retrying(trouble, batch, self.flag, self.deadline):
                self.waiting.append(replace(batch, attempt=batch.attempt + 1))
                self.usage.retries += 1


def plan(
    texts: Mapping[int, str], intent: str, form: AnswerForm, batch_items: int, max_input_tokens: int
) -> list[Batch]:
    """The micro-batches to ask, positions shuffled among them; the last positions are dropped to keep to the tokens."""
    positions = sorted(texts)
    while positions:
        order = prompting.shuffled(positions, intent, form.version)
        groups = [tuple(order[start : start + batch_items]) for start in range(0, len(order), batch_items)]
        prompts = [prompting.build_prompt(intent, [texts[place] for place in group], form) for group in groups]
        batches = list(map(Batch, groups, prompts))
        tokens = sum(prompting.estimate_input_tokens(batch.prompt) for batch in batches)
        if tokens <= max_input_tokens:
            return batches
        positions = positions[: len(positions) * max_input_tokens // tokens]
    return []


def worth_calling(flag: FlagDocument, deadline: Deadline) -> bool:
    """Whether enough of the request's budget is left for a call to come back."""
    return deadline.remaining_ms() >= MIN_CALL_SHARE * flag.call_budget_ms


def _answer(future: Future[Completion], batch: Batch, form: AnswerForm, usage: Usage) -> dict[int, int]:
    try:
        completion = future.result()
        _bill(batch, form, usage, completion.input_tokens, completion.output_tokens)
        judged = parse_answer(completion, batch.prompt.size, form)
    except RerankTimeout:
        raise _late(batch, usage) from None
    except LLMThrottled:
        usage.throttled += 1
        raise
    except LLMRejected:
        usage.rejected += 1
        raise
    except MALFORMED:
        usage.parse_failures += 1
        raise
    except UnknownRerankError:
        # such as an answer that botocore cannot read: the model has written it all the same
        _bill(batch, form, usage, None, None)
        raise
    except RerankError:
        raise
    except Exception as error:
        logger.exception("a call failed in a way that nobody foresaw")
        raise UnknownRerankError(repr(error)) from error
    return {batch.positions[index]: relevance for index, relevance in judged.items()}


def _bill(batch: Batch, form: AnswerForm, usage: Usage, reported_input: object, reported_output: object) -> None:
    cap = form.max_output_tokens(batch.prompt.size)
    input_tokens, output_tokens = believed_tokens(reported_input, reported_output, batch.prompt, cap)
    usage.input_tokens += input_tokens
    usage.output_tokens += output_tokens


def _worth_retrying(trouble: RerankError, batch: Batch, flag: FlagDocument, deadline: Deadline) -> bool:
    # a throttled call is not retried: it would add to the load that caused it
    retryable = isinstance(trouble, (*MALFORMED, RerankTimeout))
    return retryable and batch.attempt == 1 and worth_calling(flag, deadline)


def _late(batch: Batch, usage: Usage) -> RerankTimeout:
    # the model has read the prompt, and the bill says so, whether or not anyone waited for the answer
    usage.timeouts += 1
    usage.input_tokens += prompting.estimate_input_tokens(batch.prompt)
    return RerankTimeout("a call outlived its budget")


def _commonest(troubles: Sequence[RerankError]) -> RerankError | None:
    if not troubles:
        return None
    name, _ = Counter(trouble.reason for trouble in troubles).most_common(1)[0]
    return next(trouble for trouble in troubles if trouble.reason is name)
