"""The published format: a manifest, plain `.npy` arrays, JSON, and the users in blocks. Never pickle.

`model.encoding` writes it and the factor store decodes it, both by the same manifest, so a set that was not written
whole, or was changed since, cannot be served. Format 1 has the users in arrays; it is read, and written no more.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, StringConstraints, ValidationError

from flagrank.errors import ArtifactError
from flagrank.model.attributes import DOCUMENT, Attributes, read_document
from flagrank.model.catalog import Catalog
from flagrank.model.consistency import broken_index_rules, broken_rules
from flagrank.model.factors import Factors, FoldIn, Neighbours
from flagrank.model.features import FEATURES
from flagrank.model.lexical import LexicalIndex
from flagrank.model.lexicon_file import read_lexicon
from flagrank.model.npy import from_npy
from flagrank.model.stage2 import Stage2, Stage2Document
from flagrank.model.student import Student, StudentDocument
from flagrank.model.student_features import FEATURES as STUDENT_FEATURES
from flagrank.model.users import UserIndex, Users, joined

FORMAT: Literal[2] = 2
MANIFEST = "manifest.json"
POINTER = "current.json"
ITEM_ARRAYS = {
    "item_factors.npy": ("float32", 2),
    "item_ids.npy": (None, 1),
    "item_gram.npy": ("float32", 2),
    "popularity.npy": ("float32", 1),
}
USERS = "users.bin"
USER_ARRAYS = {
    1: {
        "user_factors.npy": ("float32", 2),
        "user_ids.npy": (None, 1),
        "seen_indptr.npy": ("int64", 1),
        "seen_indices.npy": ("int32", 1),
    },
    2: {
        "user_first_ids.npy": (None, 1),
        "user_starts.npy": ("int64", 1),
        "user_digests.npy": ("uint8", 2),
        "user_mean.npy": ("float64", 1),
    },
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

    format: Literal[1, 2]
    version: Name
    created: str
    id_type: Literal["int", "str"]
    regularization: FiniteFloat
    fold_in_confidence: FiniteFloat
    files: dict[Name, FileEntry]
    # not told in format 1
    users: Annotated[int, Field(ge=0)] = 0
    training: dict[str, Any] = {}
    metrics: dict[str, Any] = {}


class Pointer(BaseModel):
    """`factors/current.json`: the version in force, and the one before it for a rollback."""

    model_config = ConfigDict(frozen=True)

    version: Name
    previous: Name | None = None
    activated: str


def parse_manifest(data: bytes) -> Manifest:
    """The manifest; raises ArtifactError for another format or a missing file entry."""
    try:
        manifest = Manifest.model_validate_json(data)
    except ValidationError as error:
        raise ArtifactError(f"{MANIFEST}: {error.errors()[0]['msg']} at {error.errors()[0]['loc']}") from error
    begun = [names for names in INSEPARABLE if manifest.files.keys() & names]
    users = {*USER_ARRAYS[manifest.format], *([USERS] if manifest.format > 1 else [])}
    missing = {*ITEM_ARRAYS, *users, CATALOG, LEXICON}.union(*begun) - manifest.files.keys()
    if missing:
        raise ArtifactError(f"{MANIFEST}: no entry for {', '.join(sorted(missing))}")
    return manifest


def decode(manifest: Manifest, read: Read, *, keep_users: bool = True) -> Factors:
    """The verified factors; `read` gives a file's bytes by name. Arrays are views of those bytes, not copies, but
    for the item weights: they are added up by the thousand, which float16 is slow at.

    With `keep_users` the users are in memory too, as those of format 1 always are; else the users' file is not read.
    Raises ArtifactError when a checksum, size, shape, dtype or cross-reference is not as promised.
    """
    arrays: dict[str, npt.NDArray[Any]] = {}
    for name, (dtype, ndim) in (ITEM_ARRAYS | USER_ARRAYS[manifest.format] | OPTIONAL_ARRAYS).items():
        if name in OPTIONAL_ARRAYS and name not in manifest.files:
            continue
        array = arrays[name] = _promised_array(manifest, read, name)
        if array.ndim != ndim or (dtype and array.dtype != dtype):
            raise ArtifactError(f"{name}: holds {array.shape} {array.dtype}, expected {ndim} dimensions of {dtype}")
    index = _index(manifest, arrays)
    users = _users(manifest, read, arrays, index, keep_users=keep_users)
    factors = Factors(
        version=manifest.version,
        user_ids=users.ids,
        user_factors=users.factors,
        seen_indptr=users.indptr,
        seen_indices=users.seen,
        user_index=index,
        catalog=Catalog(verified(CATALOG, manifest.files[CATALOG], read(CATALOG))),
        lexicon=read_lexicon(LEXICON, verified(LEXICON, manifest.files[LEXICON], read(LEXICON))),
        fold_in=FoldIn(manifest.regularization, manifest.fold_in_confidence),
        neighbours=Neighbours(*(arrays[name] for name in NEIGHBOURS)) if NEIGHBOURS[0] in arrays else None,
        item_weights=arrays[ITEM_WEIGHTS].astype(np.float32) if ITEM_WEIGHTS in arrays else None,
        item_embeddings=arrays.get(EMBEDDINGS),
        lexical=_lexical(arrays),
        stage2=_stage2(manifest, read),
        student=_student(manifest, read, arrays),
        attributes=_attributes(manifest, read),
        **{name.removesuffix(".npy"): arrays[name] for name in ITEM_ARRAYS},
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


def attribute_file(name: str) -> str:
    """The file of an attribute's values."""
    return f"attribute_{name}.npy"


def _index(manifest: Manifest, arrays: Mapping[str, npt.NDArray[Any]]) -> UserIndex | None:
    if manifest.format == 1:
        return None
    first_ids, starts, digests, mean = (arrays[name] for name in USER_ARRAYS[2])
    index = UserIndex(first_ids, starts, digests, mean, manifest.users)
    broken = broken_index_rules(index, manifest.files[USERS].size)
    if broken:
        raise ArtifactError(f"not consistent: expected {'; '.join(broken)}")
    return index


def _users(
    manifest: Manifest,
    read: Read,
    arrays: Mapping[str, npt.NDArray[Any]],
    index: UserIndex | None,
    *,
    keep_users: bool,
) -> Users:
    if index is None:
        ids, factors = arrays["user_ids.npy"], arrays["user_factors.npy"]
        return Users(ids, factors, arrays["seen_indptr.npy"], arrays["seen_indices.npy"])
    if not keep_users:
        return joined([], index)
    data = memoryview(verified(USERS, manifest.files[USERS], read(USERS)))
    places = index.places()
    return joined((index.verified(place, data[place.start : place.start + place.size]) for place in places), index)


def _attributes(manifest: Manifest, read: Read) -> Attributes:
    if DOCUMENT not in manifest.files:
        return {}
    declared = verified(DOCUMENT, manifest.files[DOCUMENT], read(DOCUMENT))
    return read_document(declared, lambda name: _promised_array(manifest, read, attribute_file(name)))


def _lexical(arrays: Mapping[str, npt.NDArray[Any]]) -> LexicalIndex | None:
    if not LEXICAL_ARRAYS.keys() <= arrays.keys():
        return None
    return LexicalIndex(**{lexical_field(name): arrays[name] for name in LEXICAL_ARRAYS})


def lexical_field(name: str) -> str:
    """The field of the lexical index that a file holds."""
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
