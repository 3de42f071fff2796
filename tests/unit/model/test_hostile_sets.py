"""Sets whose checksums are right and whose content is hostile: nothing but a FlagrankError leaves the boundary."""

import io
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flagrank.errors import ArtifactError
from flagrank.model.artifacts import CATALOG, LEXICON, MANIFEST, STAGE2, parse_manifest
from flagrank.model.encoding import encode
from flagrank.model.factors import Factors
from flagrank.model.npy import from_npy
from flagrank.model.stage2 import Linear, Stage2, Stage2Document
from flagrank.model.validation import validate
from tests.factories import make_attributes, make_factors
from tests.unit.model.test_trusted_sets import vouched

ITEMS = 6
LINEAR = Linear(mean=(0.0,), scale=(1.0,), weights=(1.0,))
FILES = encode(
    make_factors(
        ITEMS,
        3,
        dimension=4,
        attributes=make_attributes(ITEMS),
        stage2=Stage2(Stage2Document(features=("als",), pool=5, linear=LINEAR)),
    ),
    created="2026-01-02T03:04:05+00:00",
    training={},
)
SUPPRESSED = [HealthCheck.too_slow, HealthCheck.data_too_large]

numbers = st.one_of(st.integers(), st.floats(), st.booleans(), st.none())
json_values = st.recursive(
    st.one_of(numbers, st.text(max_size=8)),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=8), inner, max_size=4)),
    max_leaves=8,
)


def taken(files: dict[str, bytes]) -> Factors | None:
    """The set if it is taken, None if it is refused as one; anything else is a test that fails."""
    try:
        return validate(parse_manifest(files[MANIFEST]), files.__getitem__)
    except ArtifactError:
        return None


def serves(factors: Factors) -> None:
    """What requests ask of a set that was taken."""
    for row in range(len(factors.item_ids)):
        orjson.dumps([factors.item_id(row), factors.catalog[row].title, factors.catalog[row].text])
    factors.item_rows(factors.item_ids.tolist())
    assert np.isfinite(factors.user_factors @ factors.item_factors.T).all()
    assert all(isinstance(word, str) for word in factors.lexicon.synonyms.values())
    if factors.stage2 is not None:
        width = len(factors.stage2.features)
        assert np.isfinite(factors.stage2.score(np.ones((3, width), np.float32))).all()


def check(files: dict[str, bytes]) -> None:
    factors = taken(files)
    if factors is not None:
        serves(factors)


@given(data=st.binary(max_size=300), at=st.integers(0, 200), kept=st.booleans())
def test_no_bytes_of_an_array_crash_its_reader(data: bytes, at: int, kept: bool) -> None:
    """Neither any bytes at all, nor any bytes within a good header."""
    good = FILES["item_factors.npy"]
    hostile = good[:at] + data + good[at + len(data) :] if kept else data
    try:
        from_npy("hostile.npy", hostile)
    except ArtifactError:
        return


def mutated(draw: Any, content: bytes) -> bytes:
    start = draw(st.integers(0, len(content)))
    end = draw(st.integers(start, min(len(content), start + 24)))
    inserted: bytes = draw(st.binary(max_size=24))
    return content[:start] + inserted + content[end:]


def any_file(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(FILES.keys() - {MANIFEST})))
    check(vouched({**FILES, name: mutated(data.draw, FILES[name])}))


def any_array(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(name for name in FILES if name.endswith(".npy"))))
    array = from_npy(name, FILES[name]).copy()
    raw = array.reshape(-1).view(np.uint8)
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, max(0, len(raw) - 1)))] = data.draw(st.integers(0, 255))
    buffer = io.BytesIO()
    np.save(buffer, array)
    check(vouched({**FILES, name: buffer.getvalue()}))


def any_json(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from([LEXICON, STAGE2, CATALOG, "attributes.json", MANIFEST]))
    lines = FILES[name].splitlines() if name == CATALOG else [FILES[name]]
    at = data.draw(st.integers(0, len(lines) - 1))
    document = orjson.loads(lines[at])
    path: Any = document
    key = data.draw(st.sampled_from(sorted(path)))
    while isinstance(path[key], dict) and path[key] and data.draw(st.booleans()):
        path = path[key]
        key = data.draw(st.sampled_from(sorted(path)))
    path[key] = data.draw(json_values)
    try:
        lines[at] = orjson.dumps(document)
    except TypeError:
        return
    files = {**FILES, name: b"\n".join(lines)}
    check(files if name == MANIFEST else vouched(files))


MUTATIONS = [any_file, any_array, any_json]


@pytest.mark.parametrize("mutation", MUTATIONS)
@settings(max_examples=60, deadline=None, suppress_health_check=SUPPRESSED)
@given(data=st.data())
def test_a_hostile_set_is_refused_or_serves(mutation: Any, data: st.DataObject) -> None:
    """Whatever passes cannot fail a request; whatever does not is an ArtifactError."""
    mutation(data)


@pytest.mark.slow
@pytest.mark.parametrize("mutation", MUTATIONS)
@settings(max_examples=3000, deadline=None, suppress_health_check=SUPPRESSED)
@given(data=st.data())
def test_thousands_of_hostile_sets_are_refused_or_serve(mutation: Any, data: st.DataObject) -> None:
    """The same, for those who can wait."""
    mutation(data)
