"""The published format."""

import hashlib
import io
from collections.abc import Callable
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flagrank.errors import ArtifactError
from flagrank.model.artifacts import CATALOG, ITEM_ARRAYS, MANIFEST, decode, parse_manifest
from flagrank.model.attributes import Attribute, Attributes
from flagrank.model.attributes import encoded as encoded_attribute
from flagrank.model.consistency import EMBEDDING_GROUPS, ITEM_GROUPS, NEIGHBOUR_GROUPS
from flagrank.model.encoding import encode
from flagrank.model.factors import Factors, Neighbours
from flagrank.model.features import FEATURES, GROUPS
from flagrank.model.stage2 import Linear, Stage2, Stage2Document
from tests.factories import make_factors

FIELDS = [
    *(name.removesuffix(".npy") for name in ITEM_ARRAYS),
    *("user_factors", "user_ids", "seen_indptr", "seen_indices"),
]
CREATED = "2026-01-02T03:04:05+00:00"
type Files = dict[str, bytes]


def encoded(factors: Factors | None = None) -> Files:
    return encode(factors or make_factors(), created=CREATED, training={"factors": 8})


def decoded(files: Files) -> Factors:
    return decode(parse_manifest(files[MANIFEST]), files.__getitem__)


@pytest.mark.parametrize("users", [0, 10])
def test_a_set_reads_back_as_it_was_written(users: int) -> None:
    """Arrays, catalogue, lexicon and fold-in parameters survive; the version comes from the content."""
    written = make_factors(users=users)
    read = decoded(encoded(written))
    for attribute in FIELDS:
        assert np.array_equal(getattr(read, attribute), getattr(written, attribute))
    assert [read.catalog[row] for row in range(50)] == [written.catalog[row] for row in range(50)]
    assert (read.lexicon, read.fold_in) == (written.lexicon, written.fold_in)
    assert read.version.startswith("20260102-")


def test_string_ids_survive() -> None:
    """Unicode ids are stored without pickle."""
    ids: dict[str, Any] = {"item_ids": np.array([f"sku-ä{row}" for row in range(5)]), "user_ids": np.array(["a", "b"])}
    assert decoded(encoded(make_factors(5, 2, **ids))).item_id(3) == "sku-ä3"


def test_what_training_measured_survives() -> None:
    """The manifest keeps it for people; the version is that of the content, however it was found."""
    metrics = {"search": {"folds": 2, "ndcg@10": 0.25, "seed_spread": 0.004}}
    measured = encode(make_factors(), created=CREATED, training={}, metrics=metrics)
    plain = encode(make_factors(), created=CREATED, training={})
    assert parse_manifest(measured[MANIFEST]).metrics == metrics
    assert parse_manifest(plain[MANIFEST]).metrics == {}
    assert parse_manifest(measured[MANIFEST]).version == parse_manifest(plain[MANIFEST]).version


def test_equal_content_has_an_equal_version() -> None:
    """A version names what was trained; other factors have another one."""
    same = [parse_manifest(encoded(make_factors(seed=1))[MANIFEST]).version for _ in range(2)]
    other = parse_manifest(encoded(make_factors(seed=2))[MANIFEST]).version
    assert same[0] == same[1] != other


@given(data=st.data())
def test_a_flipped_byte_anywhere_is_noticed(data: st.DataObject) -> None:
    """No file of a set can change unseen."""
    files = encoded(make_factors(items=5, users=2, attributes=attributes(5)))
    name = data.draw(st.sampled_from(sorted(files.keys() - {MANIFEST})))
    position = data.draw(st.integers(0, len(files[name]) - 1))
    changed = bytearray(files[name])
    changed[position] ^= data.draw(st.integers(1, 255))
    with pytest.raises(ArtifactError):
        decoded({**files, name: bytes(changed)})


def test_a_truncated_file_is_noticed() -> None:
    """A file that was not written whole does not decode."""
    files = encoded()
    with pytest.raises(ArtifactError, match="promised"):
        decoded({**files, CATALOG: files[CATALOG][:-10]})


def resealed(change: Callable[[dict[str, np.ndarray]], None]) -> Files:
    """A set whose checksums are right but whose arrays were changed before sealing."""
    arrays = {name: getattr(make_factors(), name).copy() for name in FIELDS}
    change(arrays)
    return encoded(make_factors(**arrays))


def not_finite(arrays: dict[str, np.ndarray]) -> None:
    arrays["item_factors"][3, 2] = np.nan


def unsorted_norms(arrays: dict[str, np.ndarray]) -> None:
    arrays["item_factors"] = arrays["item_factors"][::-1]


def unsorted_users(arrays: dict[str, np.ndarray]) -> None:
    arrays["user_ids"] = arrays["user_ids"][::-1]


def seen_out_of_range(arrays: dict[str, np.ndarray]) -> None:
    arrays["seen_indices"][0] = 50


def missing_user_row(arrays: dict[str, np.ndarray]) -> None:
    arrays["user_factors"] = arrays["user_factors"][:-1]


def wrong_dtype(arrays: dict[str, np.ndarray]) -> None:
    arrays["popularity"] = arrays["popularity"].astype(np.float64)


@pytest.mark.parametrize(
    "change", [not_finite, unsorted_norms, unsorted_users, seen_out_of_range, missing_user_row, wrong_dtype]
)
def test_an_inconsistent_set_is_refused(change: Callable[[dict[str, np.ndarray]], None]) -> None:
    """Right checksums are not enough: what retrieval relies on is checked."""
    with pytest.raises(ArtifactError):
        decoded(resealed(change))


def reading(*features: str) -> Stage2:
    """A model that reads these features."""
    width = len(features)
    linear = Linear(mean=(0.0,) * width, scale=(1.0,) * width, weights=(1.0,) * width)
    return Stage2(Stage2Document(features=features, pool=10, linear=linear))


@pytest.mark.parametrize(
    ("group", "part"),
    [
        *((group, "neighbours") for group in NEIGHBOUR_GROUPS),
        *((group, "item weights") for group in ITEM_GROUPS),
        *((group, "embeddings") for group in EMBEDDING_GROUPS),
    ],
)
def test_a_model_without_what_it_reads_is_refused(group: str, part: str) -> None:
    """Its columns would be nought for everybody, and its order no order that anybody measured."""
    for feature in GROUPS[group]:
        with pytest.raises(ArtifactError, match=f"not consistent: expected {part}, which Stage 2 reads$"):
            decoded(encoded(make_factors(stage2=reading("als", feature))))


def test_a_model_with_what_it_reads_is_taken() -> None:
    """All features with neighbours and embeddings, all but one group with item weights, and without them the rest."""
    rows, weights = np.zeros((50, 2), np.int32), np.zeros((50, 2), np.float32)
    whole: dict[str, Any] = {
        "neighbours": Neighbours(rows, weights, weights),
        "item_embeddings": np.eye(50, 4, dtype=np.float32),
    }
    optional = {name for group in NEIGHBOUR_GROUPS + ITEM_GROUPS + EMBEDDING_GROUPS for name in GROUPS[group]}
    plain = [name for name in FEATURES if name not in optional]
    weighted = [*plain, *(name for group in ITEM_GROUPS for name in GROUPS[group])]
    for factors in (
        make_factors(stage2=reading(*FEATURES), **whole),
        make_factors(stage2=reading(*weighted), item_weights=np.zeros((50, 50), np.float32)),
        make_factors(stage2=reading(*plain)),
    ):
        read = decoded(encoded(factors))
        assert read.stage2 is not None
        assert factors.stage2 is not None
        assert read.stage2.features == factors.stage2.features


def test_item_weights_are_published_in_halves() -> None:
    """What float16 can hold comes back as it was, in float32, for half of the bytes."""
    weights = np.random.default_rng(0).normal(size=(50, 50)).astype(np.float16).astype(np.float32)
    files = encoded(make_factors(item_weights=weights))
    read = decoded(files).item_weights
    assert read is not None
    assert read.dtype == np.float32
    assert np.array_equal(read, weights)
    assert len(files["item_weights.npy"]) < 50 * 50 * 2 + 200


@pytest.mark.parametrize("weights", [np.zeros((50, 49)), np.full((50, 50), np.nan), np.full((50, 50), 1e30)])
def test_item_weights_that_could_not_be_added_up_are_refused(weights: np.ndarray) -> None:
    """A row and a column an item, and numbers that float16 can hold."""
    with pytest.raises(ArtifactError, match="one finite weight for every two items"), np.errstate(over="ignore"):
        decoded(encoded(make_factors(item_weights=weights.astype(np.float32))))


def test_a_pickled_array_is_never_loaded() -> None:
    """An object array, even with a matching checksum, is refused."""
    files = encoded()
    buffer = io.BytesIO()
    np.save(buffer, np.array([{"a": 1}] * 50, dtype=object), allow_pickle=True)
    files["popularity.npy"] = buffer.getvalue()
    manifest = orjson.loads(files[MANIFEST])
    manifest["files"]["popularity.npy"] |= {
        "size": len(files["popularity.npy"]),
        "sha256": hashlib.sha256(files["popularity.npy"]).hexdigest(),
    }
    with pytest.raises(ArtifactError, match="popularity"):
        decoded({**files, MANIFEST: orjson.dumps(manifest)})


@pytest.mark.parametrize("manifest", [b"", b"{}", b"[]", b'{"format": 2}'])
def test_another_format_is_refused(manifest: bytes) -> None:
    """What is no manifest of this format is not read any further."""
    with pytest.raises(ArtifactError):
        parse_manifest(manifest)


def test_a_manifest_without_a_needed_file_is_refused() -> None:
    """The error names what is missing."""
    manifest = orjson.loads(encoded()[MANIFEST])
    del manifest["files"]["item_gram.npy"]
    with pytest.raises(ArtifactError, match="item_gram"):
        parse_manifest(orjson.dumps(manifest))


def attributes(items: int = 50) -> Attributes:
    """A price, a stock and a brand, each of them missing in places."""
    return {
        "price": encoded_attribute("number", [None if row % 7 == 0 else row / 2 for row in range(items)]),
        "stock": encoded_attribute("integer", [None if row % 5 == 0 else row for row in range(items)]),
        "brand": encoded_attribute("text", [None if row % 3 == 0 else f"brand {row % 4}" for row in range(items)]),
    }


def test_attributes_survive() -> None:
    """A document of names and types, and one array each, which are of the version too."""
    written = make_factors(attributes=attributes())
    files = encoded(written)
    assert {"attributes.json", "attribute_price.npy", "attribute_stock.npy", "attribute_brand.npy"} <= files.keys()
    read = decoded(files)
    assert list(read.attributes) == ["price", "stock", "brand"]
    for name, attribute in read.attributes.items():
        assert (attribute.type, attribute.texts) == (written.attributes[name].type, written.attributes[name].texts)
        assert np.array_equal(attribute.values, written.attributes[name].values, equal_nan=attribute.type == "number")
    assert read.version != decoded(encoded()).version


def test_a_set_without_attributes_is_what_it_was() -> None:
    """Nothing is added to its files, and it reads as one that has none."""
    files = encoded()
    assert not [name for name in files if name.startswith("attribute")]
    assert decoded(files).attributes == {}


def test_an_attribute_without_its_array_is_refused() -> None:
    """The error names the file."""
    files = encoded(make_factors(attributes=attributes()))
    manifest = orjson.loads(files[MANIFEST])
    del manifest["files"]["attribute_stock.npy"]
    with pytest.raises(ArtifactError, match=r"no entry for attribute_stock\.npy"):
        decoded({**files, MANIFEST: orjson.dumps(manifest)})


def test_an_attribute_of_another_length_is_refused() -> None:
    """The error names the attribute and what was expected of it."""
    short = {"price": Attribute("number", np.zeros(49))}
    with pytest.raises(ArtifactError, match=r"not consistent: expected one value an item as attribute price$"):
        decoded(encoded(make_factors(attributes=short)))
