"""The one check of a set: training, publishing, activating and serving take what passes here, and nothing else."""

from collections.abc import Iterable

from flagrank.errors import ArtifactError
from flagrank.model.artifacts import Manifest, Read, decode
from flagrank.model.consistency import broken_user_rules
from flagrank.model.factors import Factors
from flagrank.model.users import Place, Users


def validate(manifest: Manifest, read: Read, *, keep_users: bool = True) -> Factors:
    """The set's factors, decoded, checked and warm: no request over them can fail for what the files hold.

    `read` gives a file's bytes by name. Without `keep_users`, users that lie in blocks are not read: see `valid_block`.
    Raises ArtifactError.
    """
    factors = decode(manifest, read, keep_users=keep_users)
    factors.warm()
    return factors


def valid_block(factors: Factors, place: Place, data: bytes | memoryview) -> Users:
    """The users of one block, decoded and checked as `validate` checks those in memory; raises ArtifactError.

    The set must have an index of its users.
    """
    assert factors.user_index is not None
    users = factors.user_index.verified(place, data)
    items, dimension = factors.item_factors.shape
    broken = broken_user_rules(users, items, dimension)
    if broken:
        raise ArtifactError(f"block {place.block} of the users: expected {'; '.join(broken)}")
    return users


def validate_blocks(factors: Factors, blocks: Iterable[bytes | memoryview]) -> None:
    """Checks all blocks of users, in order, of a validated set that does not hold them in memory.

    Raises ArtifactError. A set without an index of its users has nothing to check.
    """
    index = factors.user_index
    if index is None:
        return
    found, before = 0, None
    for place, data in zip(index.places(), blocks, strict=True):
        users = valid_block(factors, place, data)
        if before is not None and not before < users.ids[0]:
            raise ArtifactError(f"block {place.block} of the users: expected users by rising id")
        found, before = found + len(users), users.ids[-1]
    if found != index.users:
        raise ArtifactError(f"the users' file: holds {found} users, promised {index.users}")
