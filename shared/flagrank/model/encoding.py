"""Writes a set in today's format: file by file, users block by block, so that neither need be in memory as bytes."""

import hashlib
import io
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import orjson

from flagrank.model.artifacts import (
    CATALOG,
    EMBEDDINGS,
    FORMAT,
    ITEM_ARRAYS,
    ITEM_WEIGHTS,
    LEXICAL_ARRAYS,
    LEXICON,
    MANIFEST,
    NEIGHBOURS,
    STAGE2,
    STUDENT,
    STUDENT_PAIRS,
    USERS,
    FileEntry,
    Manifest,
    attribute_file,
    lexical_field,
)
from flagrank.model.attributes import DOCUMENT, document
from flagrank.model.factors import Factors
from flagrank.model.npy import write_npy
from flagrank.model.users import BlockWriter, UserIndex, Users


class Sink(Protocol):
    """An open file of the set."""

    def write(self, data: bytes | memoryview, /) -> object:
        """Takes all of the data."""


# opens a file of the set by name
type Open = Callable[[str], AbstractContextManager[Sink]]
type Content = Iterable[bytes | memoryview]


@dataclass(slots=True)
class _Hashed:
    """Counts and hashes what goes through it."""

    sink: Sink
    digest: Any = field(default_factory=hashlib.sha256)
    size: int = 0

    def write(self, data: bytes | memoryview) -> None:
        self.sink.write(data)
        self.digest.update(data)
        self.size += len(data)


def encode(
    factors: Factors, *, created: str, training: Mapping[str, Any], metrics: Mapping[str, Any] | None = None
) -> dict[str, bytes]:
    """Every file of a small set by name, the manifest last; all of it is in memory at once. See `write_set`."""
    buffers: dict[str, io.BytesIO] = {}

    def opened(name: str) -> AbstractContextManager[Sink]:
        return nullcontext(buffers.setdefault(name, io.BytesIO()))

    write_set(factors, [factors.users], opened, created=created, training=training, metrics=metrics)
    return {name: buffer.getvalue() for name, buffer in buffers.items()}


def write_set(
    factors: Factors,
    users: Iterable[Users],
    opened: Open,
    *,
    created: str,
    training: Mapping[str, Any],
    metrics: Mapping[str, Any] | None = None,
) -> Manifest:
    """Writes a set of these items and users (parts by rising id), the manifest last, and gives the manifest.

    Its version is derived from the content. What is in memory of the users is what `users` gives at a time.
    """
    entries: dict[str, FileEntry] = {}
    with opened(USERS) as sink:
        hashed = _Hashed(sink)
        writer = BlockWriter(hashed.write, factors.item_factors.shape[1])
        for part in users:
            writer.add(part)
        entries[USERS] = FileEntry(sha256=hashed.digest.hexdigest(), size=hashed.size)
    index = writer.index(factors.item_ids.dtype)
    for name, array in (_arrays_of(factors) | _arrays_of_index(index)).items():
        entries[name] = _written(name, write_npy(array), opened, array)
    for name, content in _documents_of(factors):
        entries[name] = _written(name, content, opened)
    manifest = Manifest(
        format=FORMAT,
        version=_version(created, entries),
        created=created,
        id_type="int" if factors.has_int_ids else "str",
        regularization=factors.fold_in.regularization,
        fold_in_confidence=factors.fold_in.confidence,
        files=entries,
        users=index.users,
        training=dict(training),
        metrics=dict(metrics or {}),
    )
    with opened(MANIFEST) as sink:
        sink.write(orjson.dumps(manifest.model_dump(mode="json"), option=orjson.OPT_INDENT_2))
    return manifest


def _version(created: str, entries: Mapping[str, FileEntry]) -> str:
    digest = hashlib.sha256(orjson.dumps([[name, entries[name].sha256] for name in sorted(entries)])).hexdigest()
    return f"{created[:10].replace('-', '')}-{digest[:12]}"


def _written(name: str, content: Content, opened: Open, array: npt.NDArray[Any] | None = None) -> FileEntry:
    with opened(name) as sink:
        hashed = _Hashed(sink)
        for piece in content:
            hashed.write(piece)
    shape, dtype = (None, None) if array is None else (array.shape, array.dtype.str)
    return FileEntry(sha256=hashed.digest.hexdigest(), size=hashed.size, shape=shape, dtype=dtype)


def _documents_of(factors: Factors) -> Iterator[tuple[str, Content]]:
    if factors.stage2 is not None:
        yield STAGE2, [factors.stage2.document.model_dump_json().encode()]
    if factors.student is not None:
        yield STUDENT, [factors.student.document.model_dump_json().encode()]
    if factors.attributes:
        yield DOCUMENT, [document(factors.attributes)]
    yield CATALOG, [memoryview(factors.catalog.data)]
    lexicon = {"synonyms": factors.lexicon.synonyms, "expansions": factors.lexicon.expansions}
    yield LEXICON, [orjson.dumps(lexicon, option=orjson.OPT_SORT_KEYS)]


def _arrays_of(factors: Factors) -> dict[str, npt.NDArray[Any]]:
    arrays = {name: getattr(factors, name.removesuffix(".npy")) for name in ITEM_ARRAYS}
    if factors.item_embeddings is not None:
        arrays[EMBEDDINGS] = factors.item_embeddings
    if factors.item_weights is not None:
        arrays[ITEM_WEIGHTS] = factors.item_weights.astype(np.float16)
    if factors.neighbours is not None:
        found = (factors.neighbours.rows, factors.neighbours.ease, factors.neighbours.session)
        arrays |= dict(zip(NEIGHBOURS, found, strict=True))
    if factors.lexical is not None:
        arrays |= {name: getattr(factors.lexical, lexical_field(name)) for name in LEXICAL_ARRAYS}
    if factors.student is not None:
        arrays[STUDENT_PAIRS] = factors.student.pairs
    return arrays | {attribute_file(name): attribute.values for name, attribute in factors.attributes.items()}


def _arrays_of_index(index: UserIndex) -> dict[str, npt.NDArray[Any]]:
    return {
        "user_first_ids.npy": index.first_ids,
        "user_starts.npy": index.starts,
        "user_digests.npy": index.digests,
        "user_mean.npy": index.mean,
    }
