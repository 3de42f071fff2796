"""The published format: a manifest, plain `.npy` arrays and JSON. Pure bytes in and out; never pickle.

`train` encodes, the factor store decodes, and both go through the same manifest, so a set that was not written whole,
or was changed since, cannot be served.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
import orjson
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, StringConstraints, ValidationError

from flagrank.errors import ArtifactError
from flagrank.model.attributes import DOCUMENT, Attributes, document, read_document
from flagrank.model.catalog import Catalog
from flagrank.model.consistency import broken_rules
from flagrank.model.factors import Factors, FoldIn, Neighbours
from flagrank.model.features import FEATURES
from flagrank.model.lexical import LexicalIndex
from flagrank.model.lexicon_file import read_lexicon
from flagrank.model.npy import from_npy, to_npy
from flagrank.model.stage2 import Stage2, Stage2Document
from flagrank.model.student import Student, StudentDocument
from flagrank.model.student_features import FEATURES as STUDENT_FEATURES

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
ITEM_WEIGHTS = "item_weights.npy"
NEIGHBOURS = ("neighbours.npy", "ease_weights.npy", "session_weights.npy")
OPTIONAL_ARRAYS = {
    EMBEDDINGS: ("float32", 2),
    ITEM_WEIGHTS: ("float16", 2),
    "neighbours.npy": ("int32", 2),
    "ease_weights.npy": ("float32", 2),
    "session_weights.npy": ("float32", 2),
}
LEXICAL = "lexical_"
LEXICAL_ARRAYS = {
    f"{LEXICAL}word_text.npy": ("uint8", 1),
    f"{LEXICAL}word_indptr.npy": ("int64", 1),
    f"{LEXICAL}idf.npy": ("float32", 1),
    f"{LEXICAL}rows_by_length.npy": ("int32", 1),
    f"{LEXICAL}length_indptr.npy": ("int64", 1),
    f"{LEXICAL}saturations.npy": ("float32", 1),
    f"{LEXICAL}indptr.npy": ("int64", 1),
    f"{LEXICAL}positions.npy": ("int32", 1),
}
STAGE2 = "stage2.json"
STUDENT, STUDENT_PAIRS = "student.json", "student_pairs.npy"
OPTIONAL_ARRAYS |= LEXICAL_ARRAYS | {STUDENT_PAIRS: ("float32", 1)}
# files that mean something together alone
INSEPARABLE = (frozenset(NEIGHBOURS), LEXICAL_ARRAYS.keys(), frozenset({STUDENT, STUDENT_PAIRS}))
CATALOG = "catalog.jsonl"
LEXICON = "lexicon.json"

# names of files and versions: a name with a slash or of dots alone would be read from elsewhere
type Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")]

# a file's bytes by name
type Read = Callable[[str], bytes | bytearray]


class FileEntry(BaseModel):
    """One file of a set: its size in bytes, SHA-256, and for arrays the shape and dtype."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sha256: str
    size: Annotated[int, Field(ge=0)]
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
    version: Name
    created: str
    id_type: Literal["int", "str"]
    regularization: FiniteFloat
    fold_in_confidence: FiniteFloat
    files: dict[Name, FileEntry]
    training: dict[str, Any] = {}
    metrics: dict[str, Any] = {}


class Pointer(BaseModel):
    """`factors/current.json`: the version in force, and the one before it for a rollback."""

    model_config = ConfigDict(frozen=True)

    version: Name
    previous: Name | None = None
    activated: str


def encode(
    factors: Factors, *, created: str, training: Mapping[str, Any], metrics: Mapping[str, Any] | None = None
) -> dict[str, bytes]:
    """Every file of a set by name, the manifest last; `factors.version` is replaced by one derived from the content."""
    arrays = _arrays_of(factors)
    files = {name: to_npy(array) for name, array in arrays.items()}
    if factors.stage2 is not None:
        files[STAGE2] = factors.stage2.document.model_dump_json().encode()
    if factors.student is not None:
        files[STUDENT] = factors.student.document.model_dump_json().encode()
    if factors.attributes:
        files[DOCUMENT] = document(factors.attributes)
    lines = (factors.catalog[row].to_line(factors.item_id(row)) for row in range(len(factors.catalog)))
    files[CATALOG] = b"".join(line + b"\n" for line in lines)
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
    begun = [names for names in INSEPARABLE if manifest.files.keys() & names]
    missing = {*ARRAYS, CATALOG, LEXICON}.union(*begun) - manifest.files.keys()
    if missing:
        raise ArtifactError(f"{MANIFEST}: no entry for {', '.join(sorted(missing))}")
    return manifest


def decode(manifest: Manifest, read: Read) -> Factors:
    """The verified factors; `read` gives a file's bytes by name. Arrays are views of those bytes, not copies, but
    for the item weights: they are added up by the thousand, which float16 is slow at.

    Raises ArtifactError when a checksum, size, shape, dtype or cross-reference is not as promised.
    """
    arrays: dict[str, npt.NDArray[Any]] = {}
    for name, (dtype, ndim) in (ARRAYS | OPTIONAL_ARRAYS).items():
        if name in OPTIONAL_ARRAYS and name not in manifest.files:
            continue
        array = arrays[name] = _promised_array(manifest, read, name)
        if array.ndim != ndim or (dtype and array.dtype != dtype):
            raise ArtifactError(f"{name}: holds {array.shape} {array.dtype}, expected {ndim} dimensions of {dtype}")
    lines = bytes(verified(CATALOG, manifest.files[CATALOG], read(CATALOG))).splitlines()
    factors = Factors(
        version=manifest.version,
        catalog=Catalog(lines),
        lexicon=read_lexicon(LEXICON, verified(LEXICON, manifest.files[LEXICON], read(LEXICON))),
        fold_in=FoldIn(manifest.regularization, manifest.fold_in_confidence),
        neighbours=Neighbours(*(arrays[name] for name in NEIGHBOURS)) if NEIGHBOURS[0] in arrays else None,
        item_weights=arrays[ITEM_WEIGHTS].astype(np.float32) if ITEM_WEIGHTS in arrays else None,
        item_embeddings=arrays.get(EMBEDDINGS),
        lexical=_lexical(arrays),
        stage2=_stage2(manifest, read),
        student=_student(manifest, read, arrays),
        attributes=_attributes(manifest, read),
        **{name.removesuffix(".npy"): arrays[name] for name in ARRAYS},
    )
    broken = broken_rules(factors)
    if broken:
        raise ArtifactError(f"not consistent: expected {'; '.join(broken)}")
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
    if factors.item_weights is not None:
        arrays[ITEM_WEIGHTS] = factors.item_weights.astype(np.float16)
    if factors.neighbours is not None:
        found = (factors.neighbours.rows, factors.neighbours.ease, factors.neighbours.session)
        arrays |= dict(zip(NEIGHBOURS, found, strict=True))
    if factors.lexical is not None:
        arrays |= {name: getattr(factors.lexical, _field(name)) for name in LEXICAL_ARRAYS}
    if factors.student is not None:
        arrays[STUDENT_PAIRS] = factors.student.pairs
    return arrays | {_attribute_file(name): attribute.values for name, attribute in factors.attributes.items()}


def _attribute_file(name: str) -> str:
    return f"attribute_{name}.npy"


def _attributes(manifest: Manifest, read: Read) -> Attributes:
    if DOCUMENT not in manifest.files:
        return {}
    declared = verified(DOCUMENT, manifest.files[DOCUMENT], read(DOCUMENT))
    return read_document(declared, lambda name: _promised_array(manifest, read, _attribute_file(name)))


def _lexical(arrays: Mapping[str, npt.NDArray[Any]]) -> LexicalIndex | None:
    if not LEXICAL_ARRAYS.keys() <= arrays.keys():
        return None
    return LexicalIndex(**{_field(name): arrays[name] for name in LEXICAL_ARRAYS})


def _field(name: str) -> str:
    return name.removeprefix(LEXICAL).removesuffix(".npy")


def _stage2(manifest: Manifest, read: Read) -> Stage2 | None:
    if STAGE2 not in manifest.files:
        return None
    document = _document(Stage2Document, STAGE2, manifest, read)
    _check_features(STAGE2, document.features, FEATURES)
    return Stage2(document)


def _student(manifest: Manifest, read: Read, arrays: Mapping[str, npt.NDArray[Any]]) -> Student | None:
    if STUDENT not in manifest.files:
        return None
    document = _document(StudentDocument, STUDENT, manifest, read)
    _check_features(STUDENT, document.features, STUDENT_FEATURES)
    return Student(document, arrays[STUDENT_PAIRS])


def _document[D: BaseModel](kind: type[D], name: str, manifest: Manifest, read: Read) -> D:
    try:
        return kind.model_validate_json(verified(name, manifest.files[name], read(name)))
    except ValidationError as error:
        raise ArtifactError(f"{name}: {error.errors()[0]['msg']} at {error.errors()[0]['loc']}") from error


def _check_features(name: str, read: Sequence[str], computed: Sequence[str]) -> None:
    unknown = set(read) - set(computed)
    if unknown:
        raise ArtifactError(f"{name}: reads {', '.join(sorted(unknown))}, which this version does not compute")


def _promised_array(manifest: Manifest, read: Read, name: str) -> npt.NDArray[Any]:
    entry = manifest.files.get(name)
    if entry is None:
        raise ArtifactError(f"{MANIFEST}: no entry for {name}")
    array = from_npy(name, verified(name, entry, read(name)))
    promised = (entry.shape, entry.dtype)
    if (array.shape, array.dtype.str) != promised:
        raise ArtifactError(f"{name}: holds {array.shape} {array.dtype}, promised {promised}")
    return array
