"""The users' file: blocks that are read alone, and the index that finds and vouches for them."""

from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flagrank.errors import ArtifactError
from flagrank.model.artifacts import MANIFEST, USERS, decode, parse_manifest
from flagrank.model.consistency import broken_index_rules, broken_user_rules
from flagrank.model.encoding import encode
from flagrank.model.factors import Factors
from flagrank.model.users import BlockWriter, UserIndex, Users, joined, read_block
from flagrank.model.validation import valid_block, validate, validate_blocks
from tests.factories import make_factors
from tests.unit.model.test_trusted_sets import vouched

DIMENSION, ITEMS = 4, 30
CREATED = "2026-01-02T03:04:05+00:00"
int_ids = st.sets(st.integers(-(10**18) + 1, 10**18 - 1), max_size=40)
# what a set can hold: numpy drops zeros at the end, and half of a surrogate pair is no text
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=8)
any_ids = st.one_of(int_ids, st.sets(texts, max_size=40))


def users_of(ids: set[Any], seed: int = 0) -> Users:
    """Users with these ids, and up to nine seen items each."""
    dice = np.random.default_rng(seed)
    counts = dice.integers(0, 10, len(ids))
    array = np.array(sorted(ids), np.int64 if not ids or isinstance(next(iter(ids)), int) else None)
    return Users(
        array,
        dice.standard_normal((len(ids), DIMENSION)).astype(np.float32),
        np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        dice.integers(0, ITEMS, counts.sum()).astype(np.int32),
    )


def written(users: Users, block_bytes: int = 200) -> tuple[bytes, UserIndex]:
    """The users' file, and its index."""
    data = bytearray()
    writer = BlockWriter(data.extend, DIMENSION, block_bytes)
    writer.add(users)
    return bytes(data), writer.index(users.ids.dtype)


def find(data: bytes, index: UserIndex, user_id: int | str) -> Any:
    place = index.place_of(user_id)
    if place is None:
        return None
    return index.verified(place, data[place.start : place.start + place.size]).find(user_id)


@given(
    ids=st.one_of(int_ids, st.sets(texts, max_size=40)), strangers=st.lists(texts, max_size=5), seed=st.integers(0, 9)
)
def test_every_user_is_found_in_one_block_and_nobody_else_is(ids: set[Any], strangers: list[str], seed: int) -> None:
    """Whatever the ids, each has the vector and the seen items that were written, and a stranger has none."""
    users = users_of(ids, seed)
    data, index = written(users)
    for row, user_id in enumerate(users.ids.tolist()):
        found = find(data, index, user_id)
        assert found.vector.tobytes() == users.factors[row].tobytes()
        assert found.seen.tolist() == users.seen[users.indptr[row] : users.indptr[row + 1]].tolist()
    others: list[Any] = strangers if users.ids.dtype.kind == "U" else [hash(text) % 10**17 for text in strangers]
    assert not any(find(data, index, other) for other in others if other not in ids)
    assert broken_index_rules(index, len(data)) == []


@given(ids=any_ids)
def test_the_blocks_together_are_all_users(ids: set[Any]) -> None:
    """Joined in memory they are what was written, and their mean is that of the index."""
    users = users_of(ids)
    data, index = written(users)
    blocks = (index.verified(place, data[place.start : place.start + place.size]) for place in index.places())
    together = joined(blocks, index)
    for name in ("ids", "factors", "indptr", "seen"):
        assert np.array_equal(getattr(together, name), getattr(users, name))
    assert broken_user_rules(together, ITEMS, DIMENSION) == []
    if ids:
        np.testing.assert_allclose(index.mean, users.factors.mean(axis=0, dtype=np.float64), atol=1e-12)


@pytest.mark.parametrize("stranger", ["a\0", "\ud800", "z" * 500, ""])
def test_an_id_that_no_set_can_hold_is_nobodys(stranger: str) -> None:
    """Zeros at the end, half a surrogate pair, a long one and an empty one are looked for like others."""
    data, index = written(users_of({"a", "b", "c"}))
    assert find(data, index, stranger) is None


def test_a_block_is_as_long_as_asked_or_one_user() -> None:
    """Users share a block while it has room; one who has seen more than a block holds has one of his own."""
    counts = np.array([1, 1, 200, 1])
    indptr = np.concatenate([[0], np.cumsum(counts)])
    users = Users(np.arange(4), np.zeros((4, DIMENSION), np.float32), indptr, np.zeros(203, np.int32))
    _, index = written(users, block_bytes=500)
    assert index.first_ids.tolist() == [0, 2, 3]
    assert (np.diff(index.starts) <= 520).tolist() == [True, False, True]


def test_writing_in_parts_is_writing_at_once() -> None:
    """A publisher that has users in parts gives the same file but for where blocks end."""
    users = users_of(set(range(100)))
    data = bytearray()
    writer = BlockWriter(data.extend, DIMENSION, 10**6)
    for start in range(0, 100, 25):
        writer.add(users.part(start, start + 25))
    index = writer.index(np.int64)
    assert (index.users, index.first_ids.tolist()) == (100, [0, 25, 50, 75])
    assert find(bytes(data), index, 99).vector.tobytes() == users.factors[99].tobytes()


@given(data=st.data())
def test_any_bytes_are_a_block_or_refused(data: st.DataObject) -> None:
    """Nothing but ArtifactError leaves the reader, and what it reads has the lengths that it says."""
    good = bytearray(written(users_of({1, 5, 9}), 10**6)[0])
    at = data.draw(st.integers(0, len(good)))
    inserted = data.draw(st.binary(max_size=20))
    hostile = good[:at] + inserted + good[at + data.draw(st.integers(0, 20)) :]
    try:
        users = read_block(bytes(hostile), has_int_ids=data.draw(st.booleans()))
    except ArtifactError:
        return
    if not broken_user_rules(users, ITEMS, DIMENSION):
        found = [users.find(user_id) for user_id in users.ids.tolist()]
        assert all(user is None or max(user.seen.tolist(), default=0) < ITEMS for user in found)


def items_alone(files: dict[str, bytes]) -> Factors:
    return validate(parse_manifest(files[MANIFEST]), files.__getitem__, keep_users=False)


def check_blocks(files: dict[str, bytes]) -> None:
    factors, data = items_alone(files), files[USERS]
    assert factors.user_index is not None
    places = factors.user_index.places()
    validate_blocks(factors, (data[place.start : place.start + place.size] for place in places))


def test_a_set_without_its_users_in_memory_knows_their_number_and_mean() -> None:
    """The users' file is not even read, and fold-in has the same mean user."""
    whole = make_factors(users=300)
    files = encode(whole, created=CREATED, training={})
    alone = items_alone({name: data for name, data in files.items() if name != USERS})
    assert (len(alone.user_ids), alone.user_count, alone.holds_users) == (0, 300, False)
    np.testing.assert_allclose(alone.mean_user, whole.mean_user)
    check_blocks(files)


def test_every_byte_of_the_users_is_vouched_for() -> None:
    """A changed byte in any block is noticed by whoever reads the block."""
    files = encode(make_factors(), created=CREATED, training={})
    changed = bytearray(files[USERS])
    changed[len(changed) // 2] ^= 1
    with pytest.raises(ArtifactError, match="block 0 of the users: checksum differs"):
        check_blocks({**files, USERS: bytes(changed)})


@pytest.mark.parametrize("name", ["user_factors", "seen_indices"])
def test_a_block_that_is_vouched_for_is_checked_all_the_same(name: str) -> None:
    """A publisher with a bug makes right checksums: endless factors and items that are none are refused."""
    factors = make_factors()
    array = getattr(factors, name).copy()
    array[3] = 2e15 if name == "user_factors" else 50
    files = encode(make_factors(**{name: array}), created=CREATED, training={})
    with pytest.raises(ArtifactError, match="block 0 of the users: expected"):
        check_blocks(files)
    with pytest.raises(ArtifactError, match="not consistent"):
        decode(parse_manifest(files[MANIFEST]), files.__getitem__)


def test_blocks_in_disorder_are_refused() -> None:
    """The last user of a block may not come after the first of the next."""
    data = bytearray()
    writer = BlockWriter(data.extend, 8)
    factors = make_factors(ITEMS, 4)
    for ids in ([1, 9], [3, 12]):
        writer.add(Users(np.array(ids), factors.user_factors[:2], np.zeros(3, np.int64), np.empty(0, np.int32)))
    index = writer.index(np.int64)
    blocks = make_factors(ITEMS, 0, user_index=index)
    with pytest.raises(ArtifactError, match="block 1 of the users: expected users by rising id"):
        validate_blocks(blocks, [bytes(data[place.start : place.start + place.size]) for place in index.places()])


@pytest.mark.parametrize("promised", [0, 9, 11])
def test_another_number_of_users_than_promised_is_refused(promised: int) -> None:
    """The manifest's number is what reports and popularity shares are made of."""
    files = encode(make_factors(), created=CREATED, training={})
    manifest = orjson.loads(files[MANIFEST]) | {"users": promised}
    with pytest.raises(ArtifactError, match=r"promised|a user or more a block"):
        check_blocks({**files, MANIFEST: orjson.dumps(manifest)})


@pytest.mark.parametrize(
    ("name", "broken"),
    [
        ("starts", np.array([0, 10, 5, 200])),
        ("starts", np.array([0, 10, 20, 100])),
        ("starts", np.array([1, 10, 20, 200])),
        ("first_ids", np.array([1, 1, 2])),
        ("digests", np.zeros((2, 32), np.uint8)),
        ("mean", np.array([np.nan])),
    ],
)
def test_an_index_that_is_none_is_refused(name: str, broken: np.ndarray) -> None:
    """Blocks that overlap, leave something out or are in disorder would be found by no request."""
    good = {
        "first_ids": np.array([1, 2, 3]),
        "starts": np.array([0, 10, 20, 200]),
        "digests": np.zeros((3, 32), np.uint8),
        "mean": np.zeros(1),
    }
    assert broken_index_rules(UserIndex(**good, users=5), 200) == []
    assert broken_index_rules(UserIndex(**{**good, name: broken}, users=5), 200)


def test_an_older_reader_is_told_the_format() -> None:
    """Format 2 says so in its manifest, and a format to come is refused."""
    files = encode(make_factors(), created=CREATED, training={})
    manifest = orjson.loads(files[MANIFEST])
    assert manifest["format"] == 2
    with pytest.raises(ArtifactError, match="format"):
        parse_manifest(orjson.dumps({**manifest, "format": 3}))


def test_a_set_without_its_users_file_is_refused() -> None:
    """The error names the file."""
    files = encode(make_factors(), created=CREATED, training={})
    manifest = orjson.loads(files[MANIFEST])
    del manifest["files"][USERS]
    with pytest.raises(ArtifactError, match=r"no entry for users\.bin"):
        parse_manifest(orjson.dumps(manifest))


def test_the_index_of_another_file_is_refused() -> None:
    """Vouched for by the manifest or not, blocks must make up the file."""
    files = encode(make_factors(), created=CREATED, training={})
    with pytest.raises(ArtifactError, match="blocks of users that make up their file"):
        items_alone(vouched({**files, USERS: files[USERS] + b"x"}))


def test_one_block_is_what_the_index_says() -> None:
    """A block in another's place is refused: it begins with another user."""
    users = users_of({1, 5, 9})
    data, index = written(users, 1)
    moved = UserIndex(index.first_ids, index.starts, index.digests[::-1], index.mean, index.users)
    last = index.place(2)
    factors = make_factors(ITEMS, 0, DIMENSION, user_index=moved)
    with pytest.raises(ArtifactError, match="does not begin with the user of the index"):
        valid_block(factors, moved.place(0), data[last.start : last.start + last.size])
