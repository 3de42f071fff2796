"""What of the wanted heads nobody has judged yet, and what it would take to judge it."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

from flagrank.flags.document import FlagDocument
from flagrank.ports import CacheRead
from flagrank.rerank.answers import FORMS
from flagrank.rerank.listwise import plan
from flagrank.rerank.pricing import Price, cost_micro_usd
from flagrank.rerank.prompting import estimate_input_tokens
from flagrank.rerank.records import entry_key
from flagrank.warming.heads import Head
from flagrank.warming.wanted import Tell


@dataclass(frozen=True, slots=True)
class Estimate:
    """The most that judging takes, if no call has to be repeated: cautious token counts, and the answers' caps."""

    intents: int = 0
    texts: int = 0
    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_micro_usd: int = 0


def missing(
    heads: Sequence[Head], read: Callable[[str], CacheRead], executor: Executor, tell: Tell
) -> tuple[list[Head], int]:
    """What is not cached of each head, heads without any left out; and the day's spend in micro-USD as last read.

    `read` reads the cache by an intent's text, on `executor`.
    """
    left: list[Head] = []
    spent_micro_usd = 0
    reads = executor.map(read, (head.intent for head in heads))
    for done, (head, found) in enumerate(zip(heads, reads, strict=True), 1):
        known = found.record.scores if found.record else {}
        texts = tuple(text for text in head.texts if entry_key(text) not in known)
        if texts:
            left.append(Head(head.intent, texts))
        spent_micro_usd = max(spent_micro_usd, found.spent_micro_usd)
        tell(done, len(heads))
    return left, spent_micro_usd


def in_requests(heads: Sequence[Head], flag: FlagDocument) -> list[Head]:
    """The same texts in pieces no longer than a request's head, so that each keeps to a request's token limit."""
    return [
        Head(head.intent, head.texts[start : start + flag.top_m])
        for head in heads
        for start in range(0, len(head.texts), flag.top_m)
    ]


def estimate(heads: Sequence[Head], flag: FlagDocument, prices: Mapping[str, Price], batch_items: int) -> Estimate:
    """What judging these heads takes at most, at the price of calls that are answered at once."""
    form = FORMS[flag.answer]
    batches = [
        batch
        for head in heads
        for batch in plan(dict(enumerate(head.texts)), head.intent, form, batch_items, flag.max_input_tokens)
    ]
    input_tokens = sum(estimate_input_tokens(batch.prompt) for batch in batches)
    output_tokens = sum(form.max_output_tokens(batch.prompt.size) for batch in batches)
    return Estimate(
        intents=len({head.intent for head in heads}),
        texts=sum(batch.prompt.size for batch in batches),
        calls=len(batches),
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        cost_micro_usd=cost_micro_usd(prices, flag.model_id, input_tokens, output_tokens),
    )
