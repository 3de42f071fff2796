"""The known user of a request, read from the users' file where the set does not hold its users in memory."""

import logging
import threading
from collections import OrderedDict
from dataclasses import dataclass

from flagrank.domain import UserId, UserProblem
from flagrank.errors import ArtifactError, UsersUnavailable
from flagrank.model.factors import Factors
from flagrank.model.users import KnownUser, Place
from flagrank.model.validation import valid_block
from flagrank.ports import UserStore
from flagrank.rerank.breaker import Breaker

logger = logging.getLogger(__name__)

# ten thousand users of 64 factors and 200 seen items
REMEMBERED_BYTES = 16 * 1024 * 1024
# what Python itself takes for one that is remembered
OVERHEAD_BYTES = 600


@dataclass(frozen=True, slots=True)
class FoundUser:
    """The user as training met them, None for a stranger; or why nobody knows. `read` says that a store was asked."""

    known: KnownUser | None
    problem: UserProblem | None = None
    read: bool = False


class KnownUsers:
    """Finds users by at most one read each, and remembers those who asked last. Never raises.

    Without a store, those of sets that hold their users in memory are found alone.
    """

    def __init__(
        self, store: UserStore | None = None, breaker: Breaker | None = None, remembered_bytes: int = REMEMBERED_BYTES
    ) -> None:
        self._store = store
        self._breaker = breaker
        self._room = remembered_bytes
        self._remembered: OrderedDict[tuple[str, UserId], KnownUser | None] = OrderedDict()
        self._lock = threading.Lock()

    def prepare(self, factors: Factors) -> None:
        """Readies the store for a set that will ask it."""
        if self._store is not None and not factors.holds_users:
            self._store.prepare()

    def find(self, factors: Factors, user_id: UserId, timeout_ms: float) -> FoundUser:
        """The user of that id, in the trained type, within about `timeout_ms`."""
        index = factors.user_index
        if index is None or factors.holds_users:
            return FoundUser(factors.users.find(user_id))
        place = index.place_of(user_id)
        if place is None:
            return FoundUser(None)
        key = factors.version, user_id
        with self._lock:
            if key in self._remembered:
                self._remembered.move_to_end(key)
                return FoundUser(self._remembered[key])
        if self._store is None:
            return FoundUser(None, UserProblem.UNREADABLE)
        if self._breaker is not None and not self._breaker.allows():
            return FoundUser(None, UserProblem.PAUSED)
        found = self._asked(self._store, factors, place, user_id, timeout_ms)
        if self._breaker is not None:
            self._breaker.record(success=found.problem is None)
        if found.problem is None:
            self._remember(key, found.known)
        return found

    def _asked(self, store: UserStore, factors: Factors, place: Place, user_id: UserId, timeout_ms: float) -> FoundUser:
        try:
            data = store.read(factors.version, place.start, place.size, timeout_ms)
            return FoundUser(_found_in(factors, place, data, user_id), read=True)
        except UsersUnavailable as error:
            logger.warning("a user could not be read: %s", error)
            return FoundUser(None, error.problem, read=True)
        except Exception:
            logger.exception("a user could not be read")
            return FoundUser(None, UserProblem.UNKNOWN, read=True)

    def _remember(self, key: tuple[str, UserId], known: KnownUser | None) -> None:
        with self._lock:
            if key in self._remembered:
                return
            self._remembered[key] = known
            self._room -= _size(known)
            while self._room < 0:
                _, forgotten = self._remembered.popitem(last=False)
                self._room += _size(forgotten)


def _found_in(factors: Factors, place: Place, data: bytes, user_id: UserId) -> KnownUser | None:
    try:
        found = valid_block(factors, place, data).find(user_id)
    except ArtifactError as error:
        raise UsersUnavailable(UserProblem.DAMAGED, str(error)) from error
    # copies, so that the rest of the block can go
    return None if found is None else KnownUser(found.vector.copy(), found.seen.copy())


def _size(known: KnownUser | None) -> int:
    return OVERHEAD_BYTES + (known.vector.nbytes + known.seen.nbytes if known else 0)
