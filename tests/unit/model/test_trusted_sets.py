"""What a set whose checksums are right must still hold, before anything serves from it."""

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np
import orjson
import pytest

from flagrank.errors import ArtifactError
from flagrank.model.artifacts import CATALOG, LEXICON, MANIFEST, STAGE2, decode, parse_manifest
from flagrank.model.encoding import encode
from flagrank.model.factors import Factors, FoldIn
from tests.factories import make_factors

type Files = dict[str, bytes]


def encoded(factors: Factors) -> Files:
    return encode(factors, created="2026-01-02T03:04:05+00:00", training={})


def vouched(files: Files) -> Files:
    """The files under a manifest whose sizes and checksums are theirs: what a publisher with a bug would send."""
    manifest = orjson.loads(files[MANIFEST])
    for name, data in files.items():
        if name != MANIFEST:
            digest = hashlib.sha256(data).hexdigest()
            manifest["files"].setdefault(name, {}).update(size=len(data), sha256=digest)
    return {**files, MANIFEST: orjson.dumps(manifest)}


def decoded(files: Files) -> Factors:
    return decode(parse_manifest(files[MANIFEST]), files.__getitem__)


def changed_line(change: Callable[[dict[str, Any]], object]) -> Files:
    files = encoded(make_factors())
    lines = files[CATALOG].splitlines()
    entry = orjson.loads(lines[7])
    change(entry)
    lines[7] = orjson.dumps(entry)
    return vouched({**files, CATALOG: b"\n".join(lines)})


@pytest.mark.parametrize("member", ["id", "title", "category", "text"])
def test_a_catalogue_line_without_a_member_is_refused(member: str) -> None:
    """It would be a 500 to every request that meets the item."""
    with pytest.raises(ArtifactError, match="an id, title, category and text in every line"):
        decoded(changed_line(lambda entry: entry.pop(member)))


@pytest.mark.parametrize("member", ["title", "category", "text"])
@pytest.mark.parametrize("value", [None, 7, ["a"], {}], ids=str)
def test_a_text_that_is_none_is_refused(member: str, value: object) -> None:
    """Null and numbers would reach prompts and answers."""
    with pytest.raises(ArtifactError, match="titles, categories and texts that are texts"):
        decoded(changed_line(lambda entry: entry.update({member: value})))


@pytest.mark.parametrize("line", [b"{", b"[]", b"null", b"7", b'"text"', b"\xff", b"{}"])
def test_a_catalogue_line_that_is_no_item_is_refused(line: bytes) -> None:
    """One line of a million is enough to fail a request."""
    files = encoded(make_factors())
    lines = files[CATALOG].splitlines()
    with pytest.raises(ArtifactError, match="in every line"):
        decoded(vouched({**files, CATALOG: b"\n".join([*lines[:7], line, *lines[8:]])}))


@pytest.mark.parametrize("value", [True, 108, "107", 107.0], ids=repr)
def test_a_catalogue_in_another_order_than_the_ids_is_refused(value: object) -> None:
    """Every title would be that of another item."""
    with pytest.raises(ArtifactError, match="catalogue lines in the order of the ids"):
        decoded(changed_line(lambda entry: entry.update(id=value)))


def test_duplicate_ids_are_refused() -> None:
    """One list would hold the same id twice."""
    ids = np.arange(100, 150, dtype=np.int64)
    ids[40] = 103
    with pytest.raises(ArtifactError, match="every id once"):
        decoded(encoded(make_factors(item_ids=ids)))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e38])
@pytest.mark.parametrize("name", ["item_factors", "user_factors", "item_gram", "popularity"])
def test_numbers_that_cannot_be_reckoned_with_are_refused(name: str, value: float) -> None:
    """Not a number, infinite, or so large that a product is infinite."""
    array = getattr(make_factors(), name).copy()
    array[(0,) * array.ndim] = value
    with pytest.raises(ArtifactError, match=r"not consistent: expected .*finite"), np.errstate(all="ignore"):
        decoded(encoded(make_factors(**{name: array})))


@pytest.mark.parametrize("fold_in", [FoldIn(1.0, 1e308), FoldIn(1e308, 1.0), FoldIn(-1.0, 1.0), FoldIn(1.0, -1.0)])
def test_fold_in_parameters_out_of_range_are_refused(fold_in: FoldIn) -> None:
    """Every user who is folded in would get infinite factors."""
    with pytest.raises(ArtifactError, match="fold-in parameters"):
        decoded(encoded(make_factors(fold_in=fold_in)))


LEXICONS = [
    b"",
    b"[]",
    b"{}",
    b'{"synonyms": {"a": 1}, "expansions": {}}',
    b'{"synonyms": {"a": null}, "expansions": {}}',
    b'{"synonyms": {}, "expansions": {"a": 1}}',
    b'{"synonyms": {}, "expansions": {"a": "text"}}',
    b'{"synonyms": {}, "expansions": {"a": [1]}}',
    b'{"synonyms": [], "expansions": {}}',
]


@pytest.mark.parametrize("lexicon", LEXICONS)
def test_a_lexicon_of_anything_but_texts_is_refused(lexicon: bytes) -> None:
    """A synonym that is no text would fail every query that holds the word."""
    with pytest.raises(ArtifactError, match="lexicon"):
        decoded(vouched({**encoded(make_factors()), LEXICON: lexicon}))


@pytest.mark.parametrize("value", [1e308, 1e-320])
def test_a_stage_2_that_would_overflow_is_refused(value: float) -> None:
    """Its scores would be infinite or no numbers, and the order chance."""
    linear = {"mean": [0.0], "scale": [value], "weights": [value]}
    model = orjson.dumps({"features": ["als"], "pool": 10, "linear": linear})
    with pytest.raises(ArtifactError, match=r"stage2\.json"):
        decoded(vouched({**encoded(make_factors()), STAGE2: model}))


HEADERS = [
    "{'descr': '<f4', 'fortran_order': False, 'shape': (50,",
    "{'descr': '<f4', 'fortran_order': False}",
    "{'descr': ('<f4', (1e400,)), 'fortran_order': False, 'shape': (50,), }",
    "{'descr': 'O', 'fortran_order': False, 'shape': (50,), }",
    "{'descr': '<f4', 'fortran_order': False, 'shape': (50L,), }",
    "{'descr': '<f3', 'fortran_order': False, 'shape': (50,), }",
    "{'descr': '<f4', 'fortran_order': True, 'shape': (50,), }",
    "{'descr': '<f4', 'fortran_order': False, 'shape': (-50,), }",
    "{'descr': '<f4', 'fortran_order': False, 'shape': (999999999999999, 999999999999999), }",
    "(" * 3000,
    "{**{}, 'descr': []}",
    "'''",
]


@pytest.mark.parametrize("header", HEADERS, ids=lambda header: header[:60])
def test_a_hostile_header_is_refused(header: str) -> None:
    """numpy evaluates headers; whatever stands there, it is an ArtifactError."""
    files = encoded(make_factors())
    padded = (header + " ").encode() + b"\n"
    hostile = b"\x93NUMPY\x01\x00" + len(padded).to_bytes(2, "little") + padded + bytes(200)
    with pytest.raises(ArtifactError, match="popularity"):
        decoded(vouched({**files, "popularity.npy": hostile}))


@pytest.mark.parametrize("code_point", [0xD800, 0x110000, 0xFFFFFFFF])
def test_an_id_of_no_characters_is_refused(code_point: int) -> None:
    """A lone surrogate cannot be sent, and what is beyond Unicode cannot even be looked at."""
    ids = np.array([f"sku-{row}" for row in range(5)])
    files = encoded(make_factors(5, 2, item_ids=ids, user_ids=np.array(["a", "b"])))
    damaged = files["item_ids.npy"][:-4] + code_point.to_bytes(4, "little")
    with pytest.raises(ArtifactError, match="item_ids"):
        decoded(vouched({**files, "item_ids.npy": damaged}))


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "a/b", "", ".", "a" * 300])
def test_a_manifest_that_names_a_file_elsewhere_is_refused(name: str) -> None:
    """Names of files are those of one folder."""
    manifest = orjson.loads(encoded(make_factors())[MANIFEST])
    manifest["files"][name] = manifest["files"][CATALOG]
    with pytest.raises(ArtifactError, match="manifest"):
        parse_manifest(orjson.dumps(manifest))
