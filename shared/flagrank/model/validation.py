"""The one check of a set: training, publishing, activating and serving take what passes here, and nothing else."""

from collections.abc import Callable

from flagrank.errors import ArtifactError
from flagrank.model.artifacts import Manifest, Read, decode
from flagrank.model.consistency import broken_user_rules
from flagrank.model.factors import Factors
from flagrank.model.users import Place, UserIndex, Users

# a block's bytes
type ReadBlock = Callable[[Place], bytes]
# called with how many blocks are checked, and how many there are
type Tell = Callable[[int, int], None]


def validate(manifest: Manifest, read: Read, *, keep_users: bool = True) -> Factors:
    """The set's factors, decoded, checked and warm: no request over them can fail for what the files hold.

    `read` gives a file's bytes by name. Without `keep_users`, users that lie in blocks are not read: see `valid_block`.
    Raises ArtifactError.
    """
    factors = decode(manifest, read, keep_users=keep_users)
    factors.warm()
    return factors


def valid_block(factors: Factors, index: UserIndex, place: Place, data: bytes) -> Users:
    """The users of one block, decoded and checked as `validate` checks those in memory; raises ArtifactError."""
    users = index.verified(place, data)
    items, dimension = factors.item_factors.shape
    broken = broken_user_rules(users, items, dimension)
    if broken:
        raise ArtifactError(f"block {place.block} of the users: expected {'; '.join(broken)}")
    return users


def validate_blocks(factors: Factors, read_block: ReadBlock, tell: Tell) -> None:
    """Checks every block of users of a validated set that does not hold them in memory; raises ArtifactError."""
    index = factors.user_index
    if index is None:
        return
    found, before = 0, None
    for place in index.places():
        users = valid_block(factors, index, place, read_block(place))
        if before is not None and not before < users.ids[0]:
            raise ArtifactError(f"block {place.block} of the users: expected users by rising id")
        found, before = found + len(users), users.ids[-1]
        tell(place.block + 1, len(index.first_ids))
    if found != index.users:
        raise ArtifactError(f"the users' file: holds {found} users, promised {index.users}")
