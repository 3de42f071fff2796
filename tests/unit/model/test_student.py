"""The student: what it makes of an intent and an item, and how it is published."""

import hashlib
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flagrank.errors import ArtifactError
from flagrank.model.artifacts import MANIFEST, STUDENT, STUDENT_PAIRS, decode, parse_manifest
from flagrank.model.encoding import encode
from flagrank.model.factors import Factors
from flagrank.model.stage2 import Tree
from flagrank.model.student import Student, StudentDocument, pair_buckets
from flagrank.model.student_features import FEATURES, relevance, student_input
from flagrank.model.text_words import hash_of
from tests.factories import make_factors, make_student

ROWS = np.arange(50)
GOLDEN = [[2699, 24444], [14057, 4771]]
CREATED = "2026-11-26T00:00:00+00:00"


def features_of(factors: Factors, intent: str, row: int) -> dict[str, float]:
    table, _ = student_input(factors, intent.split(), np.array([row]))
    return dict(zip(FEATURES, table[0].tolist(), strict=True))


def files_of(factors: Factors) -> dict[str, bytes]:
    return encode(factors, created=CREATED, training={})


def read_back(files: dict[str, bytes]) -> Factors:
    return decode(parse_manifest(files[MANIFEST]), files.__getitem__)


def test_an_item_that_meets_the_intent_is_worth_more() -> None:
    """Row 0 is "wireless audio thing 0", row 1 "steel kitchen thing 1"."""
    factors = make_factors(student=make_student())
    assert relevance(factors, "wireless", np.array([0, 1])).tolist() == [80, 10]


def test_a_pair_of_words_adds_its_weight() -> None:
    """Scaled by how many pairs there are: two words of the intent with five of each item, the category one of them."""
    factors = make_factors(student=make_student(steel=10 * 10**0.5))
    assert relevance(factors, "unheard", np.array([0, 1])).tolist() == [10, 20]


@given(st.text(max_size=40), st.lists(st.integers(0, 49), max_size=8), st.floats(-1e6, 1e6, width=32))
def test_relevance_is_a_whole_number_from_0_to_100(intent: str, rows: list[int], weight: float) -> None:
    """Whatever is asked, of whichever items, and however large the weights."""
    factors = make_factors(student=make_student(thing=weight))
    found = relevance(factors, intent, np.array(rows, np.int64))
    assert found.dtype == np.int64
    assert len(found) == len(rows)
    assert all(0 <= score <= 100 for score in found.tolist())


@given(st.lists(st.sampled_from("wireless steel thing unheard audio".split()), max_size=4), st.integers(0, 49))
def test_an_item_is_judged_alike_in_any_company(intent: list[str], row: int) -> None:
    """The other candidates have no part in it, so that the student's scores can stand beside the LLM's."""
    factors = make_factors(student=make_student(thing=7.0))
    alone = relevance(factors, " ".join(intent), np.array([row]))
    assert relevance(factors, " ".join(intent), ROWS)[row] == alone[0]


def test_what_is_known_of_an_item_and_an_intent() -> None:
    """Two of three words are met, the first among them, and none is known that no text holds."""
    found = features_of(make_factors(), "wireless unheard audio", 0)
    assert (found["intent_words"], found["text_words"], found["met"], found["met_first"]) == (3, 4, 2, 1)
    assert found["met_share"] == pytest.approx(2 / 3)
    assert found["met_early"] == pytest.approx((1 + 1 / 3) / (1 + 1 / 2 + 1 / 3))
    assert found["met_idf"] == pytest.approx(1)
    assert found["bm25"] > 0


def test_a_word_that_comes_twice_counts_once() -> None:
    """Serving's intents name each word once, and a file may not."""
    factors = make_factors()
    assert features_of(factors, "steel steel", 1) == features_of(factors, "steel", 1)


def test_an_intent_is_near_the_items_that_hold_its_words() -> None:
    """Without a call to an embedder: the mean of such items stands for the word."""
    embeddings = np.zeros((50, 3), np.float32)
    embeddings[:, 0], embeddings[0] = 1, (0, 1, 0)
    factors = make_factors(item_embeddings=embeddings)
    # "0" is in the text of row 0 alone
    assert features_of(factors, "0", 0)["embedding"] == pytest.approx(1)
    assert features_of(factors, "0", 1)["embedding"] == pytest.approx(0)
    assert features_of(make_factors(), "0", 0)["embedding"] == 0


def test_pairs_fall_into_the_same_buckets_everywhere() -> None:
    """The weights are published and read by other machines, so this must never change."""
    words = [np.array([hash_of(word) for word in some], np.uint32) for some in (("quiet", ""), ("headset", "wireless"))]
    assert pair_buckets(words[0], words[1], 1 << 15).tolist() == GOLDEN


def test_a_set_with_a_student_comes_back_whole() -> None:
    """Same trees, same weights, same relevance, and another version than without it."""
    factors = make_factors(student=make_student(steel=9.0))
    files = files_of(factors)
    found = read_back(files)
    assert relevance(found, "wireless", ROWS).tolist() == relevance(factors, "wireless", ROWS).tolist()
    assert {STUDENT, STUDENT_PAIRS} <= files.keys()
    assert parse_manifest(files[MANIFEST]).version != parse_manifest(files_of(make_factors())[MANIFEST]).version


def test_a_set_without_a_student_is_still_a_set() -> None:
    """As every set was before there were students."""
    files = files_of(make_factors())
    assert {STUDENT, STUDENT_PAIRS}.isdisjoint(files)
    assert read_back(files).student is None


@pytest.mark.parametrize("lost", [STUDENT, STUDENT_PAIRS])
def test_half_a_student_is_refused(lost: str) -> None:
    """Trees and weights belong together."""
    files = files_of(make_factors(student=make_student()))
    manifest = orjson.loads(files[MANIFEST])
    del manifest["files"][lost]
    with pytest.raises(ArtifactError, match=lost):
        read_back({**files, MANIFEST: orjson.dumps(manifest)})


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"lexical": None}, "lexical index"),
        ({"student": Student(make_student().document, np.zeros(300, np.float32))}, "buckets"),
        ({"student": Student(make_student().document, np.full(256, np.nan, np.float32))}, "finite"),
    ],
)
def test_a_student_that_could_fail_in_a_request_is_refused(change: dict[str, Any], problem: str) -> None:
    """Before it serves, whatever its checksums say."""
    with pytest.raises(ArtifactError, match=problem):
        read_back(files_of(make_factors(**{"student": make_student(), **change})))


@pytest.mark.parametrize(
    ("features", "feature", "problem"), [(("astrology",), 0, "does not compute"), (("met",), 1, "features")]
)
def test_a_student_that_reads_what_is_not_there_is_refused(
    features: tuple[str, ...], feature: int, problem: str
) -> None:
    """A feature of a newer version, or a column that it does not name."""
    tree = Tree(feature=(feature,), threshold=(0.5,), kept=(2,), leaves=(0.0, 1.0))
    student = make_student()
    document = StudentDocument(features=features, trees=(tree,))
    files = encode(make_factors(student=student), created=CREATED, training={})
    files[STUDENT] = document.model_dump_json().encode()
    with pytest.raises(ArtifactError, match=problem):
        read_back(_promised(files))


def _promised(files: dict[str, bytes]) -> dict[str, bytes]:
    manifest = orjson.loads(files[MANIFEST])
    manifest["files"][STUDENT] |= {"size": len(files[STUDENT]), "sha256": hashlib.sha256(files[STUDENT]).hexdigest()}
    return {**files, MANIFEST: orjson.dumps(manifest)}
