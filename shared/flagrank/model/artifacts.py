"""The published format: a manifest, plain `.npy` arrays and JSON. Pure bytes in and out; never pickle.

`train` encodes, the factor store decodes, and both go through the same manifest, so a set that was not written whole,
or was changed since, cannot be served.
"""

import hashlib
import io
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import orjson
from pydantic import BaseModel, ConfigDict, ValidationError

from flagrank.errors import ArtifactError
from flagrank.model.factors import Catalog, Factors, FoldIn, Lexicon, Neighbours
from flagrank.model.features import FEATURES, GROUPS
from flagrank.model.stage2 import Stage2, Stage2Document

FORMAT: Literal[1] = 1
MANIFEST = "manifest.json"
POINTER = "current.json"
ARRAYS = {
    "item_factors.npy": ("float32", 2),
    "item_ids.npy": (None, 1),
    "user_factors.npy": ("float32", 2),
    "user_ids.npy": (None, 1),
    "seen_indptr.npy": ("int64", 1),
    "seen_indices.npy": ("int32", 1),
    "item_gram.npy": ("float32", 2),
    "popularity.npy": ("float32", 1),
}
EMBEDDINGS = "item_embeddings.npy"
NEIGHBOURS = ("neighbours.npy", "ease_weights.npy", "session_weights.npy")
OPTIONAL_ARRAYS = {
    EMBEDDINGS: ("float32", 2),
    "neighbours.npy": ("int32", 2),
    "ease_weights.npy": ("float32", 2),
    "session_weights.npy": ("float32", 2),
}
STAGE2 = "stage2.json"
# the groups of features that are computed from an optional part of the set
NEIGHBOUR_GROUPS = ("ease", "session", "recency")
EMBEDDING_GROUPS = ("text",)
CATALOG = "catalog.jsonl"
LEXICON = "lexicon.json"


class FileEntry(BaseModel):
    """One file of a set: its size in bytes, SHA-256, and for arrays the shape and dtype."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sha256: str
    size: int
    shape: tuple[int, ...] | None = None
    dtype: str | None = None


class Manifest(BaseModel):
    """What a set consists of and how it came about. `training` and `metrics` are for people and for `evaluate`.

    `metrics` is what training measured on folds of its own interactions, never on a test split. `fold_held_out`:
    both stages' means over its users, with a Stage 2 fitted to the other folds. `search`, after `--tune`: the number of
    `folds`, the best trial's mean `ndcg@10` on them, and how far other seeds move it.
    """

    model_config = ConfigDict(frozen=True)

    format: Literal[1] = FORMAT
    version: str
    created: str
    id_type: Literal["int", "str"]
    regularization: float
    fold_in_confidence: float
    files: dict[str, FileEntry]
    training: dict[str, Any] = {}
    metrics: dict[str, Any] = {}


class Pointer(BaseModel):
    """`factors/current.json`: the version in force, and the one before it for a rollback."""

    model_config = ConfigDict(frozen=True)

    version: str
    previous: str | None = None
    activated: str


def encode(
    factors: Factors, *, created: str, training: Mapping[str, Any], metrics: Mapping[str, Any] | None = None
) -> dict[str, bytes]:
    """Every file of a set by name, the manifest last; `factors.version` is replaced by one derived from the content."""
    arrays = _arrays_of(factors)
    files = {name: _npy(array) for name, array in arrays.items()}
    if factors.stage2 is not None:
        files[STAGE2] = factors.stage2.document.model_dump_json().encode()
    files[CATALOG] = b"".join(orjson.dumps(_line(factors, row)) + b"\n" for row in range(len(factors.catalog)))
    lexicon = {"synonyms": factors.lexicon.synonyms, "expansions": factors.lexicon.expansions}
    files[LEXICON] = orjson.dumps(lexicon, option=orjson.OPT_SORT_KEYS)
    entries = {
        name: FileEntry(
            sha256=hashlib.sha256(data).hexdigest(),
            size=len(data),
            shape=arrays[name].shape if name in arrays else None,
            dtype=arrays[name].dtype.str if name in arrays else None,
        )
        for name, data in files.items()
    }
    digest = hashlib.sha256(orjson.dumps([[name, entries[name].sha256] for name in sorted(entries)])).hexdigest()
    manifest = Manifest(
        version=f"{created[:10].replace('-', '')}-{digest[:12]}",
        created=created,
        id_type="int" if factors.has_int_ids else "str",
        regularization=factors.fold_in.regularization,
        fold_in_confidence=factors.fold_in.confidence,
        files=entries,
        training=dict(training),
        metrics=dict(metrics or {}),
    )
    files[MANIFEST] = orjson.dumps(manifest.model_dump(mode="json"), option=orjson.OPT_INDENT_2)
    return files


def parse_manifest(data: bytes) -> Manifest:
    """The manifest; raises ArtifactError for another format or a missing file entry."""
    try:
        manifest = Manifest.model_validate_json(data)
    except ValidationError as error:
        raise ArtifactError(f"{MANIFEST}: {error.errors()[0]['msg']} at {error.errors()[0]['loc']}") from error
    neighbours = set(NEIGHBOURS) if manifest.files.keys() & set(NEIGHBOURS) else set()
    missing = (ARRAYS.keys() | {CATALOG, LEXICON} | neighbours) - manifest.files.keys()
    if missing:
        raise ArtifactError(f"{MANIFEST}: no entry for {', '.join(sorted(missing))}")
    return manifest


def decode(manifest: Manifest, read: Callable[[str], bytes | bytearray]) -> Factors:
    """The verified factors; `read` gives a file's bytes by name. Arrays are views of those bytes, not copies.

    Raises ArtifactError when a checksum, size, shape, dtype or cross-reference is not as promised.
    """
    arrays: dict[str, npt.NDArray[Any]] = {}
    for name, (dtype, ndim) in (ARRAYS | OPTIONAL_ARRAYS).items():
        if name in OPTIONAL_ARRAYS and name not in manifest.files:
            continue
        entry = manifest.files[name]
        array = _array(name, verified(name, entry, read(name)))
        promised = (entry.shape, entry.dtype)
        if (array.shape, array.dtype.str) != promised or array.ndim != ndim or (dtype and array.dtype != dtype):
            raise ArtifactError(f"{name}: holds {array.shape} {array.dtype}, promised {promised}")
        arrays[name] = array
    lines = bytes(verified(CATALOG, manifest.files[CATALOG], read(CATALOG))).splitlines()
    lexicon = orjson.loads(verified(LEXICON, manifest.files[LEXICON], read(LEXICON)))
    factors = Factors(
        version=manifest.version,
        catalog=Catalog(lines),
        lexicon=Lexicon(lexicon["synonyms"], {token: tuple(more) for token, more in lexicon["expansions"].items()}),
        fold_in=FoldIn(manifest.regularization, manifest.fold_in_confidence),
        neighbours=Neighbours(*(arrays[name] for name in NEIGHBOURS)) if NEIGHBOURS[0] in arrays else None,
        item_embeddings=arrays.get(EMBEDDINGS),
        stage2=_stage2(verified(STAGE2, manifest.files[STAGE2], read(STAGE2))) if STAGE2 in manifest.files else None,
        **{name.removesuffix(".npy"): arrays[name] for name in ARRAYS},
    )
    _check_consistent(factors)
    return factors


def verified(name: str, entry: FileEntry, data: bytes | bytearray) -> bytes | bytearray:
    """The same bytes, once their size and checksum are those of the manifest; raises ArtifactError."""
    if len(data) != entry.size:
        raise ArtifactError(f"{name}: {len(data)} bytes, promised {entry.size}")
    if hashlib.sha256(data).hexdigest() != entry.sha256:
        raise ArtifactError(f"{name}: checksum differs from the manifest's")
    return data


def _arrays_of(factors: Factors) -> dict[str, npt.NDArray[Any]]:
    arrays = {name: getattr(factors, name.removesuffix(".npy")) for name in ARRAYS}
    if factors.item_embeddings is not None:
        arrays[EMBEDDINGS] = factors.item_embeddings
    if factors.neighbours is not None:
        found = (factors.neighbours.rows, factors.neighbours.ease, factors.neighbours.session)
        arrays |= dict(zip(NEIGHBOURS, found, strict=True))
    return arrays


def _stage2(data: bytes | bytearray) -> Stage2:
    try:
        document = Stage2Document.model_validate_json(data)
    except ValidationError as error:
        raise ArtifactError(f"{STAGE2}: {error.errors()[0]['msg']} at {error.errors()[0]['loc']}") from error
    unknown = set(document.features) - set(FEATURES)
    if unknown:
        raise ArtifactError(f"{STAGE2}: reads {', '.join(sorted(unknown))}, which this version does not compute")
    return Stage2(document)


def _npy(array: npt.NDArray[Any]) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.ascontiguousarray(array), allow_pickle=False)
    return buffer.getvalue()


def _array(name: str, data: bytes | bytearray) -> npt.NDArray[Any]:
    header = io.BytesIO(memoryview(data)[: 1 << 16])
    try:
        np.lib.format.read_magic(header)
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(header)
        if dtype.hasobject or fortran:
            raise ValueError("not a plain C-ordered array")
        return np.frombuffer(data, dtype, offset=header.tell()).reshape(shape)
    except ValueError as error:
        raise ArtifactError(f"{name}: {error}") from error


def _line(factors: Factors, row: int) -> dict[str, Any]:
    item = factors.catalog[row]
    return {"id": factors.item_id(row), "title": item.title, "category": item.category, "text": item.text}


def _features(groups: Iterable[str]) -> set[str]:
    return {name for group in groups for name in GROUPS[group]}


def _check_consistent(factors: Factors) -> None:
    items, dimension = factors.item_factors.shape
    users = len(factors.user_ids)
    indptr, indices = factors.seen_indptr, factors.seen_indices
    rules = {
        "there are items": items > 0,
        "one id, popularity and catalogue line an item": (
            len(factors.item_ids) == len(factors.popularity) == len(factors.catalog) == items
        ),
        "one row of factors a user": factors.user_factors.shape == (users, dimension),
        "a square Gram matrix": factors.item_gram.shape == (dimension, dimension),
        "one id type": factors.item_ids.dtype.kind == factors.user_ids.dtype.kind
        and factors.item_ids.dtype.kind in "iU",
        "finite factors": all(np.isfinite(a).all() for a in (factors.item_factors, factors.user_factors)),
        "items by falling norm": bool((np.diff(factors.item_norms) <= 1e-6 * factors.item_norms[:-1]).all()),
        "users by rising id": bool((factors.user_ids[:-1] < factors.user_ids[1:]).all()),
        "seen items in range": (
            len(indptr) == users + 1
            and int(indptr[0]) == 0
            and int(indptr[-1]) == len(indices)
            and bool((np.diff(indptr) >= 0).all())
            and bool(((indices >= 0) & (indices < items)).all())
        ),
    }
    neighbours, embeddings = factors.neighbours, factors.item_embeddings
    if neighbours is not None:
        rules |= {
            "as many weights as neighbours": (
                len(neighbours.rows) == items
                and neighbours.rows.shape == neighbours.ease.shape == neighbours.session.shape
            ),
            "neighbours in range": bool(((neighbours.rows >= 0) & (neighbours.rows < items)).all()),
            "finite weights": all(np.isfinite(a).all() for a in (neighbours.ease, neighbours.session)),
        }
    if embeddings is not None:
        rules["one finite embedding an item"] = len(embeddings) == items and bool(np.isfinite(embeddings).all())
    if factors.stage2 is not None:
        read = set(factors.stage2.document.features)
        rules |= {
            "neighbours, which Stage 2 reads": neighbours is not None or not read & _features(NEIGHBOUR_GROUPS),
            "embeddings, which Stage 2 reads": embeddings is not None or not read & _features(EMBEDDING_GROUPS),
        }
    broken = [rule for rule, holds in rules.items() if not holds]
    if broken:
        raise ArtifactError(f"not consistent: expected {'; '.join(broken)}")
