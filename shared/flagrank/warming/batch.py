"""A batch: which call asks about what, kept beside the calls, so that anybody can read the answers later."""

import datetime as dt
import hashlib
from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from flagrank.errors import CloudError, ConfigurationError
from flagrank.flags.document import FlagDocument
from flagrank.rerank.answers import FORMS
from flagrank.rerank.batch_inference import BatchRecord
from flagrank.rerank.listwise import plan
from flagrank.rerank.providers import BEDROCK, provider_of
from flagrank.warming.heads import Head

# Bedrock's quotas for most models, as public guides give them (read 2026-11-26); an account's Service Quotas have the
# last word, under "records per batch inference job"
MIN_RECORDS = 100
MAX_RECORDS = 50_000


class BatchCall(BaseModel):
    """What one call asks about; the texts in the order of the prompt's indices."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    intent: str
    texts: tuple[str, ...]


class BatchPlan(BaseModel):
    """What a batch asks, by record id, of which model and under which version of the prompt.

    `micro_usd` is the most that it costs, which the day's cap counts until the bill is known. It holds no user's id.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal[1] = 1
    name: str
    model_id: str
    version: str
    answer: Literal["verbose", "compact"]
    micro_usd: int
    calls: dict[str, BatchCall]


def plan_batch(
    pieces: Sequence[Head], flag: FlagDocument, batch_items: int, micro_usd: int, now_s: float
) -> tuple[BatchPlan, list[BatchRecord]]:
    """The plan of a batch that judges these pieces, and its records: the prompts that a request would send.

    Raises ConfigurationError where Bedrock takes no job of that size, or the model is not Bedrock's.
    """
    if provider_of(flag.model_id) != BEDROCK:
        raise ConfigurationError(f"batches are for Bedrock's chat models, which {flag.model_id} is none of")
    form = FORMS[flag.answer]
    calls: dict[str, BatchCall] = {}
    records: list[BatchRecord] = []
    for piece in pieces:
        for batch in plan(dict(enumerate(piece.texts)), piece.intent, form, batch_items, flag.max_input_tokens):
            record_id = f"R{len(records):010d}"
            texts = tuple(piece.texts[place] for place in batch.positions)
            calls[record_id] = BatchCall(intent=piece.intent, texts=texts)
            records.append(BatchRecord(record_id, batch.prompt, form.max_output_tokens(batch.prompt.size)))
    _check_size(len(records))
    return (
        BatchPlan(
            name=_name(calls, now_s),
            model_id=flag.model_id,
            version=form.version,
            answer=flag.answer,
            micro_usd=micro_usd,
            calls=calls,
        ),
        records,
    )


def read_plan(content: bytes, name: str) -> BatchPlan:
    """The plan of a batch; raises CloudError for what is none."""
    try:
        return BatchPlan.model_validate_json(content)
    except ValidationError as error:
        why = error.errors()[0]["msg"]
        raise CloudError(
            f"plan.json of {name} is not readable ({why}); without its plan.json it is left alone"
        ) from error


def _check_size(records: int) -> None:
    if records < MIN_RECORDS:
        raise ConfigurationError(
            f"a batch has at least {MIN_RECORDS} calls, and this would be {records}: warm more, or without --batch"
        )
    if records > MAX_RECORDS:
        raise ConfigurationError(
            f"a batch has at most {MAX_RECORDS} calls, and this would be {records}: warm less at once"
        )


def _name(calls: Mapping[str, BatchCall], now_s: float) -> str:
    moment = dt.datetime.fromtimestamp(now_s, dt.UTC).strftime("%Y%m%dT%H%M%S")
    digest = hashlib.sha256("\0".join(call.model_dump_json() for call in calls.values()).encode()).hexdigest()
    return f"warm-{moment}-{digest[:8]}"
