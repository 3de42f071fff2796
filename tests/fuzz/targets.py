"""Boundaries that take bytes from outside: each target gives one of them any bytes, and lets only FlagrankError pass.

What is taken is used as a request would use it, so that what passes the boundary cannot fail behind it.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import numpy as np
import orjson

from flagrank.adapters.dynamodb_cache import DynamoDBScoreCache
from flagrank.adapters.in_memory import ManualClock
from flagrank.errors import FlagrankError
from flagrank.flags.assignment import decide
from flagrank.flags.document import read_document
from flagrank.model.artifacts import CATALOG, MANIFEST, parse_manifest
from flagrank.model.encoding import encode
from flagrank.model.lexicon_file import read_lexicon
from flagrank.model.npy import from_npy
from flagrank.model.validation import validate
from flagrank.ports import Completion
from flagrank.rerank.answers import COMPACT, VERBOSE
from flagrank.rerank.parsing import parse_answer
from tests.factories import make_attributes, make_factors
from tests.unit.model.test_trusted_sets import vouched

ITEMS, USERS, BATCH = 6, 3, 10
DAY = "2026-01-01"
TABLE = "scores"
FILES: Mapping[str, bytes] = encode(
    make_factors(ITEMS, USERS, dimension=4, attributes=make_attributes(ITEMS)),
    created="2026-01-02T03:04:05+00:00",
    training={},
)
NAMES = sorted(FILES.keys() - {MANIFEST})

type Target = Callable[[bytes], None]


def answer(data: bytes) -> None:
    """What a model said."""
    said = Completion(data.decode("utf-8", "replace"), "end_turn", 1, 1)
    for form in (COMPACT, VERBOSE):
        with suppress(FlagrankError):
            judged = parse_answer(said, BATCH, form)
            assert all(0 <= place < BATCH and 0 <= relevance <= 100 for place, relevance in judged.items())


def flag(data: bytes) -> None:
    """What AppConfig sends."""
    with suppress(FlagrankError):
        document = read_document(data, "1")
        decide(document, "anybody")
        assert document.call_budget_ms < document.request_budget_ms


def manifest(data: bytes) -> None:
    """What lies beside a set's files."""
    with suppress(FlagrankError):
        validate(parse_manifest(data), lambda name: FILES.get(name, b""))


def array(data: bytes) -> None:
    """A file of numbers or texts."""
    with suppress(FlagrankError):
        from_npy("hostile.npy", data).tolist()


class _Table:
    """A client whose table holds what the bytes say: JSON's own items, or a record with these scores."""

    def __init__(self, data: bytes) -> None:
        self._items: Any = [
            {
                "pk": {"S": "scores#key"},
                "scores": {"B": data},
                "expires_at": {"N": "9999999999"},
                "revision": {"N": "1"},
            }
        ]
        with suppress(ValueError):
            self._items = orjson.loads(data)

    def batch_get_item(self, **_: Any) -> dict[str, Any]:
        """As DynamoDB names its answer's members."""
        return {"Responses": {TABLE: self._items}}


def cache_record(data: bytes) -> None:
    """What lies in the scores' table."""
    with suppress(FlagrankError):
        found = DynamoDBScoreCache(_Table(data), TABLE, ManualClock()).read("key", DAY)
        assert found.spent_micro_usd >= 0
        assert found.record is None or all(0 <= score <= 100 for score in found.record.scores.values())


def lexicon(data: bytes) -> None:
    """Synonyms and expansions."""
    with suppress(FlagrankError):
        read = read_lexicon("lexicon.json", data)
        assert all(isinstance(word, str) for word in read.synonyms.values())


def catalogue(data: bytes) -> None:
    """The catalogue's lines, in a set that vouches for them."""
    _take({**FILES, CATALOG: data})


def whole_set(data: bytes) -> None:
    """Any file of a set that vouches for it, spliced: the first bytes say which file, and from where to where."""
    if len(data) < 6:
        return
    name = NAMES[data[0] % len(NAMES)]
    content = FILES[name]
    start = int.from_bytes(data[1:4]) % (len(content) + 1)
    end = min(len(content), start + int.from_bytes(data[4:6]) % 512)
    _take({**FILES, name: content[:start] + data[6:] + content[end:]})


def _take(files: dict[str, bytes]) -> None:
    with suppress(FlagrankError):
        trusted = vouched(files)
        taken = validate(parse_manifest(trusted[MANIFEST]), trusted.__getitem__)
        for row in range(len(taken.item_ids)):
            orjson.dumps([taken.item_id(row), taken.catalog[row].title, taken.catalog[row].text])
        assert np.isfinite(taken.item_factors).all()


TARGETS: Mapping[str, Target] = {
    target.__name__: target for target in (answer, flag, manifest, array, cache_record, lexicon, catalogue, whole_set)
}
