"""Asking the LLM: listwise micro-batches in parallel, each with its call budget, all under one deadline."""

from collections import Counter, deque
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from dataclasses import dataclass, replace

from flagrank.domain import RerankTally
from flagrank.errors import (
    BudgetExhausted,
    CutOffAnswer,
    LLMThrottled,
    LowCoverage,
    MalformedAnswer,
    RerankError,
    RerankTimeout,
)
from flagrank.flags.document import FlagDocument
from flagrank.ports import Completion, LLMClient, Prompt
from flagrank.rerank import prompting
from flagrank.rerank.parsing import parse_answer
from flagrank.rerank.pricing import ANY_MODEL, Price
from flagrank.timing import Deadline

# with less than this share of a call's budget left, a call is not worth beginning
MIN_CALL_SHARE = 0.5
MALFORMED = (MalformedAnswer, CutOffAnswer, LowCoverage)


@dataclass(frozen=True, slots=True)
class Batch:
    """One micro-batch: positions in the head, and the prompt that asks about them in that order."""

    positions: tuple[int, ...]
    prompt: Prompt
    attempt: int = 1


@dataclass(frozen=True, slots=True)
class Judgement:
    """Relevance 0..100 by position, and the commonest trouble on the way there, None if there was none."""

    relevance: Mapping[int, int]
    trouble: RerankError | None = None


@dataclass(frozen=True, slots=True)
class ListwiseJudge:
    """Scores texts against an intent. `executor` bounds the calls in flight; prices by model id, `*` for any other."""

    llm: LLMClient
    executor: Executor
    prices: Mapping[str, Price]
    batch_items: int
    parallel_calls: int

    def judge(
        self, texts: Mapping[int, str], intent: str, flag: FlagDocument, deadline: Deadline, tally: RerankTally
    ) -> Judgement:
        """Judges the texts, given by position in the head, best baseline first. A value even in trouble.

        A malformed or late batch is asked once more while both budgets allow. What is still out at the deadline is
        left behind: its thread ends by the call's own timeout, and its input is billed all the same.
        """
        waiting = deque(plan(texts, intent, self.batch_items, flag.max_input_tokens))
        if not waiting:
            return Judgement({}, BudgetExhausted("max_input_tokens leaves no room for a single item"))
        spendable_tokens = flag.max_input_tokens
        running: dict[Future[Completion], Batch] = {}
        relevance: dict[int, int] = {}
        troubles: list[RerankError] = []
        while waiting or running:
            while waiting and len(running) < self.parallel_calls:
                batch = waiting.popleft()
                spendable_tokens -= prompting.estimate_input_tokens(batch.prompt)
                running[self._submit(batch, flag)] = batch
                tally.llm_calls += 1
            done, _ = wait(running, timeout=deadline.remaining_ms() / 1000, return_when=FIRST_COMPLETED)
            if not done:
                break
            for future in done:
                batch = running.pop(future)
                try:
                    relevance |= self._answer(future, batch, tally)
                except RerankError as trouble:
                    troubles.append(trouble)
                    again = prompting.estimate_input_tokens(batch.prompt) <= spendable_tokens
                    if again and _worth_retrying(trouble, batch, flag, deadline):
                        waiting.append(replace(batch, attempt=batch.attempt + 1))
                        tally.retries += 1
        for future, batch in running.items():
            future.cancel()
            troubles.append(_late(batch, tally))
        price = self.prices.get(flag.model_id) or self.prices[ANY_MODEL]
        tally.cost_micro_usd += round(tally.input_tokens * price.input_usd + tally.output_tokens * price.output_usd)
        return Judgement(relevance, _commonest(troubles))

    def _submit(self, batch: Batch, flag: FlagDocument) -> Future[Completion]:
        return self.executor.submit(
            self.llm.complete,
            batch.prompt,
            model_id=flag.model_id,
            max_output_tokens=prompting.max_output_tokens(batch.prompt.size),
            timeout_ms=flag.call_budget_ms,
        )

    @staticmethod
    def _answer(future: Future[Completion], batch: Batch, tally: RerankTally) -> dict[int, int]:
        try:
            completion = future.result()
            tally.input_tokens += completion.input_tokens
            tally.output_tokens += completion.output_tokens
            judged = parse_answer(completion, batch.prompt.size)
        except RerankTimeout:
            raise _late(batch, tally) from None
        except LLMThrottled:
            tally.throttled += 1
            raise
        except MALFORMED:
            tally.parse_failures += 1
            raise
        return {batch.positions[index]: relevance for index, relevance in judged.items()}


def plan(texts: Mapping[int, str], intent: str, batch_items: int, max_input_tokens: int) -> list[Batch]:
    """The micro-batches to ask, positions shuffled among them; the last positions are dropped to keep to the tokens."""
    positions = sorted(texts)
    while positions:
        order = prompting.shuffled(positions, intent)
        groups = [tuple(order[start : start + batch_items]) for start in range(0, len(order), batch_items)]
        batches = [Batch(group, prompting.build_prompt(intent, [texts[place] for place in group])) for group in groups]
        tokens = sum(prompting.estimate_input_tokens(batch.prompt) for batch in batches)
        if tokens <= max_input_tokens:
            return batches
        positions = positions[: len(positions) * max_input_tokens // tokens]
    return []


def worth_calling(flag: FlagDocument, deadline: Deadline) -> bool:
    """Whether enough of the request's budget is left for a call to come back."""
    return deadline.remaining_ms() >= MIN_CALL_SHARE * flag.call_budget_ms


def _worth_retrying(trouble: RerankError, batch: Batch, flag: FlagDocument, deadline: Deadline) -> bool:
    # a throttled call is not retried: it would add to the load that caused it
    retryable = isinstance(trouble, (*MALFORMED, RerankTimeout))
    return retryable and batch.attempt == 1 and worth_calling(flag, deadline)


def _late(batch: Batch, tally: RerankTally) -> RerankTimeout:
    # the model has read the prompt, and the bill says so, whether or not anyone waited for the answer
    tally.timeouts += 1
    tally.input_tokens += prompting.estimate_input_tokens(batch.prompt)
    return RerankTimeout("a call outlived its budget")


def _commonest(troubles: Sequence[RerankError]) -> RerankError | None:
    if not troubles:
        return None
    name, _ = Counter(trouble.reason for trouble in troubles).most_common(1)[0]
    return next(trouble for trouble in troubles if trouble.reason is name)
