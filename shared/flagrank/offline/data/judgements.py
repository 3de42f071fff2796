"""What a judge said of items' texts, as a training set: read from lines of JSON, and met with a set's catalogue."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from flagrank.errors import DataError
from flagrank.model.arrays import Rows
from flagrank.model.factors import Factors
from flagrank.ports import KeptJudgements
from flagrank.rerank.prompting import clean
from flagrank.rerank.records import entry_key

# of more judgements whole intents are left out: fitting takes two minutes at most
MAX_JUDGEMENTS = 200_000


class Part(Enum):
    """What an intent is for: to fit the student, to choose how, or to report what it is worth."""

    FIT = range(6)
    CHOOSE = range(6, 8)
    REPORT = range(8, 10)


@dataclass(frozen=True, slots=True)
class JudgedText:
    """One judgement: relevance 0..100 of the text with this `entry_key` to an intent, and who judged.

    `rank` is the item's place in the baseline that the judge's answer reordered, None where it is not known.
    """

    intent: str
    key: bytes
    relevance: int
    model: str = ""
    rank: int | None = None


@dataclass(frozen=True, slots=True)
class JudgedIntent:
    """The c items of a set that were judged for one intent: rows (c,) and relevance (c,) 0..100, both int64.

    They come by their ranks in the baseline if each of them has a rank of its own; `ranked` says so.
    """

    intent: str
    rows: Rows
    relevance: Rows
    ranked: bool

    @property
    def part(self) -> Part:
        """The part that the intent is in. Intents of the same words are in one, so that none is known from another."""
        words = " ".join(sorted(set(self.intent.split())))
        number = int.from_bytes(hashlib.sha256(words.encode(errors="surrogatepass")).digest()[:8]) % 10
        return next(part for part in Part if number in part.value)


@dataclass(frozen=True, slots=True)
class Judgements:
    """The judged intents of a set; `unknown` judgements were of texts that its catalogue does not hold any more."""

    model: str
    intents: Sequence[JudgedIntent]
    unknown: int

    def of(self, part: Part) -> list[JudgedIntent]:
        """The intents of one part."""
        return [judged for judged in self.intents if judged.part is part]

    def __len__(self) -> int:
        return sum(len(judged.rows) for judged in self.intents)


class _Line(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)

    intent: Annotated[str, Field(min_length=1)]
    text: Annotated[str, Field(min_length=1)]
    relevance: Annotated[int, Field(ge=0, le=100)]
    rank: Annotated[int, Field(ge=0)] | None = None
    model: str = ""


def read_lines(file: Path) -> Iterator[JudgedText]:
    """The judgements of a file of JSON lines: intent, text, relevance, and if known rank and model.

    Raises DataError with the line that cannot be read.
    """
    for number, line in lines_of(file):
        try:
            read = _Line.model_validate_json(line)
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(map(str, first["loc"]))
            raise DataError(str(file), number, f"{field}: {first['msg']}" if field else first["msg"]) from error
        yield JudgedText(read.intent, entry_key(read.text), read.relevance, read.model, read.rank)


def unpacked(kept: KeptJudgements) -> Iterator[JudgedText]:
    """The judgements of one entry of the log."""
    for key, relevance, rank in kept.entries:
        yield JudgedText(kept.intent, key, relevance, kept.model_id, rank)


def lines_of(file: Path) -> Iterator[tuple[int, bytes]]:
    """The lines of a file that are not empty, by number from 1; raises DataError if it cannot be read."""
    try:
        with file.open("rb") as opened:
            yield from ((number, line) for number, line in enumerate(opened, 1) if line.strip())
    except OSError as error:
        raise DataError(str(file), None, f"cannot be read: {error.strerror}") from error


def of_one_model(judged: Iterable[JudgedText], model: str | None) -> list[JudgedText]:
    """The judgements of `model`, or of the only one there is; raises DataError that names the models to choose from."""
    judged = list(judged)
    counts = Counter(each.model for each in judged)
    if model is None and len(counts) > 1:
        names = ", ".join(f"{name or 'no name'} ({count})" for name, count in counts.most_common())
        problem = f"come from several models, whose scales differ: {names}; choose with --model"
        raise DataError("judgements", None, problem)
    return judged if model is None else [each for each in judged if each.model == model]


def met_with(factors: Factors, judged: Sequence[JudgedText], limit: int = MAX_JUDGEMENTS) -> Judgements:
    """The judgements of texts that the set's catalogue holds, by intent; the last of each text counts.

    Of more than `limit` judgements whole intents are left out, the same at each call.
    """
    rows = _rows_by_key(factors)
    by_intent = defaultdict[str, dict[int, JudgedText]](dict)
    unknown = 0
    for each in judged:
        row = rows.get(each.key)
        if row is None:
            unknown += 1
        else:
            by_intent[each.intent][row] = each
    intents: list[JudgedIntent] = []
    for intent, texts in sorted(by_intent.items(), key=lambda entry: entry_key(entry[0])):
        limit -= len(texts)
        if limit < 0:
            break
        intents.append(_judged(intent, texts))
    return Judgements(judged[0].model if judged else "", intents, unknown)


def _judged(intent: str, texts: dict[int, JudgedText]) -> JudgedIntent:
    ranks = [each.rank for each in texts.values()]
    rows, relevance = np.array(list(texts), np.int64), np.array([each.relevance for each in texts.values()], np.int64)
    # what was judged on several occasions has ranks of several lists
    if None in ranks or len({*ranks}) < len(ranks):
        return JudgedIntent(intent, rows, relevance, ranked=False)
    order = np.argsort(np.array(ranks), kind="stable")
    return JudgedIntent(intent, rows[order], relevance[order], ranked=True)


def _rows_by_key(factors: Factors) -> dict[bytes, int]:
    # a prompt shows texts cleaned, and batch results hold prompts
    rows: dict[bytes, int] = {}
    for row in range(len(factors.catalog)):
        text = factors.catalog[row].text
        rows.setdefault(entry_key(text), row)
        rows.setdefault(entry_key(clean(text)), row)
    return rows
