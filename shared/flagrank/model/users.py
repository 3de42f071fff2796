"""The users of a set as its users' file holds them: in blocks, each of which is read and verified alone.

A block is a run of users by rising id: a header (numbers of users and seen items, bytes of an id, dimension; uint32),
where each user's seen items begin (uint32), the seen items (int32), the factors (float32) and the ids (int64, or UTF-8
padded with zeros). Everything is little-endian. The index says where a block lies, and vouches for its bytes.
"""

import hashlib
import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from flagrank.domain import UserId
from flagrank.errors import ArtifactError
from flagrank.model.arrays import Floats, Ids

# a request reads one block (measured in infra/decisions/0082)
BLOCK_BYTES = 128 * 1024
# a user with more than four million seen items has no place in a request
MAX_BLOCK_BYTES = 16 * 1024 * 1024
_HEADER = struct.Struct("<4I")
DIGEST_BYTES = 32


@dataclass(frozen=True, slots=True)
class KnownUser:
    """A user whom training met: `vector` (d,) float32; `seen` item rows int32, oldest first."""

    vector: Floats
    seen: npt.NDArray[np.int32]


@dataclass(frozen=True, eq=False, slots=True)
class Users:
    """Some users by rising id: `ids` (u,), `factors` (u, d), where each one's `seen` begin in `indptr` (u + 1,).

    The ids of a block are int64 or UTF-8 bytes, those of a set in memory int64 or text.
    """

    ids: Ids
    factors: Floats
    indptr: npt.NDArray[Any]
    seen: npt.NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.ids)

    def find(self, user_id: UserId) -> KnownUser | None:
        """The user, None if there is none of that id. `user_id` in the trained type."""
        wanted = _utf8(user_id) if self.ids.dtype.kind == "S" else user_id
        row = int(np.searchsorted(self.ids, wanted))
        if row >= len(self.ids) or self.ids[row] != wanted:
            return None
        return KnownUser(self.factors[row], self.seen[self.indptr[row] : self.indptr[row + 1]])

    def part(self, start: int, stop: int) -> "Users":
        """The users from one row to another."""
        first, last = (int(self.indptr[row]) for row in (start, stop))
        return Users(
            self.ids[start:stop], self.factors[start:stop], self.indptr[start : stop + 1] - first, self.seen[first:last]
        )


@dataclass(frozen=True, slots=True)
class Place:
    """Where a block lies in the users' file, and its number."""

    block: int
    start: int
    size: int


@dataclass(frozen=True, eq=False, slots=True)
class UserIndex:
    """Of b blocks: `first_ids` (b,), where each begins and the last ends (b + 1,) int64, `digests` (b, 32) SHA-256.

    `mean` (d,) float64 is the mean of all users' factors.
    """

    first_ids: Ids
    starts: npt.NDArray[np.int64]
    digests: npt.NDArray[np.uint8]
    mean: npt.NDArray[np.float64]
    users: int

    def place_of(self, user_id: UserId) -> Place | None:
        """The block that holds the user if any does; None where none can."""
        block = int(np.searchsorted(self.first_ids, user_id, side="right")) - 1
        return None if block < 0 else self.place(block)

    def place(self, block: int) -> Place:
        """Where a block lies."""
        start, end = self.starts[block : block + 2].tolist()
        return Place(block, start, end - start)

    def places(self) -> Iterator[Place]:
        """Where every block lies, in order."""
        return (self.place(block) for block in range(len(self.first_ids)))

    def runs(self, run_bytes: int) -> Iterator[list[Place]]:
        """All blocks, those that lie side by side in so many bytes together."""
        run: list[Place] = []
        for place in self.places():
            if run and place.start + place.size - run[0].start > run_bytes:
                yield run
                run = []
            run.append(place)
        if run:
            yield run

    def verified(self, place: Place, data: bytes | memoryview) -> Users:
        """The users of a block, once its bytes are those that the index vouches for; raises ArtifactError."""
        if hashlib.sha256(data).digest() != self.digests[place.block].tobytes():
            raise ArtifactError(f"block {place.block} of the users: checksum differs from the index's")
        users = read_block(data, has_int_ids=self.first_ids.dtype.kind != "U")
        first = self.first_ids[place.block].item()
        if not len(users) or users.ids[0] != (_utf8(first) if isinstance(first, str) else first):
            raise ArtifactError(f"block {place.block} of the users: does not begin with the user of the index")
        return users


class BlockWriter:
    """Writes users to the users' file block by block, in memory for no more than one, and makes the index meanwhile."""

    def __init__(self, write: Callable[[bytes], object], dimension: int, block_bytes: int = BLOCK_BYTES) -> None:
        self._write = write
        self._block_bytes = block_bytes
        self._first_ids: list[Ids] = []
        self._sizes: list[int] = []
        self._digests: list[bytes] = []
        self._sum = np.zeros(dimension)
        self._users = 0

    def add(self, users: Users) -> None:
        """Takes more users, whose ids must be greater than those so far. Each call ends a block."""
        for part in _blocks(users, self._block_bytes):
            data = write_block(part)
            self._write(data)
            self._first_ids.append(part.ids[:1])
            self._sizes.append(len(data))
            self._digests.append(hashlib.sha256(data).digest())
        self._sum += users.factors.sum(axis=0, dtype=np.float64)
        self._users += len(users)

    def index(self, id_dtype: npt.DTypeLike) -> UserIndex:
        """The index of what was written; `id_dtype` is that of a set without users."""
        return UserIndex(
            first_ids=np.concatenate(self._first_ids) if self._first_ids else np.empty(0, id_dtype),
            starts=np.concatenate([[0], np.cumsum(self._sizes, dtype=np.int64)]).astype(np.int64),
            digests=np.frombuffer(b"".join(self._digests), np.uint8).reshape(-1, DIGEST_BYTES),
            mean=self._sum / max(1, self._users),
            users=self._users,
        )


def write_block(users: Users) -> bytes:
    """The users as a block holds them."""
    ids = np.char.encode(users.ids, "utf-8") if users.ids.dtype.kind == "U" else users.ids.astype("<i8")
    header = _HEADER.pack(len(ids), len(users.seen), ids.dtype.itemsize, users.factors.shape[1])
    arrays = (users.indptr.astype("<u4"), users.seen.astype("<i4"), users.factors.astype("<f4"), ids)
    return header + b"".join(array.tobytes() for array in arrays)


def read_block(data: bytes | memoryview, *, has_int_ids: bool) -> Users:
    """The users of a block as views of its bytes; raises ArtifactError where the lengths are not as its header says."""
    if len(data) < _HEADER.size:
        raise ArtifactError(f"a block of the users: {len(data)} bytes")
    count, seen, width, dimension = _HEADER.unpack_from(data)
    # without ids there would be rows of no size
    if not width or (has_int_ids and width != np.dtype("<i8").itemsize):
        raise ArtifactError(f"a block of the users: ids of {width} bytes")
    sizes = (4 * (count + 1), 4 * seen, 4 * count * dimension, width * count)
    if _HEADER.size + sum(sizes) != len(data):
        raise ArtifactError(f"a block of the users: {len(data)} bytes, promised {_HEADER.size + sum(sizes)}")
    at = _HEADER.size + np.concatenate([[0], np.cumsum(sizes)])
    return Users(
        ids=np.ndarray((count,), "<i8" if has_int_ids else f"S{width}", data, int(at[3])),
        factors=np.ndarray((count, dimension), "<f4", data, int(at[2])),
        indptr=np.ndarray((count + 1,), "<u4", data, int(at[0])),
        seen=np.ndarray((seen,), "<i4", data, int(at[1])),
    )


def joined(blocks: Iterable[Users], index: UserIndex) -> Users:
    """All users in memory, their ids in the trained type; raises ArtifactError for ids that are no text."""
    parts = list(blocks)
    seen_before = np.cumsum([0, *(len(part.seen) for part in parts)])
    try:
        ids = [part.ids if part.ids.dtype.kind != "S" else np.char.decode(part.ids, "utf-8") for part in parts]
    except UnicodeDecodeError as error:
        raise ArtifactError(f"the users' file: {error}") from error
    if len({part.factors.shape[1] for part in parts} | {len(index.mean)}) > 1:
        raise ArtifactError("the users' file: factors of more than one dimension")
    indptr = [part.indptr[:-1] + before for part, before in zip(parts, seen_before.tolist(), strict=False)]
    return Users(
        ids=np.concatenate(ids) if parts else index.first_ids[:0],
        factors=np.concatenate([np.empty((0, len(index.mean)), np.float32), *(part.factors for part in parts)]),
        indptr=np.concatenate([*indptr, seen_before[-1:]]).astype(np.int64),
        seen=np.concatenate([np.empty(0, np.int32), *(part.seen for part in parts)]),
    )


def _blocks(users: Users, block_bytes: int) -> Iterator[Users]:
    width = users.ids.dtype.itemsize // 4 if users.ids.dtype.kind == "U" else users.ids.dtype.itemsize
    row_bytes = 4 + width + 4 * users.factors.shape[1]
    ends = np.arange(1, len(users) + 1) * row_bytes + 4 * users.indptr[1:].astype(np.int64)
    start = 0
    while start < len(users):
        before = int(ends[start - 1]) if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, before + block_bytes, side="right")))
        yield users.part(start, stop)
        start = stop


def _utf8(user_id: UserId) -> bytes:
    # what is no text is in no set, and must be looked for all the same
    return str(user_id).encode("utf-8", "surrogatepass")
