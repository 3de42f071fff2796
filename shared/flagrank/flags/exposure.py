"""Who is treated by a document, as numbers that can be compared."""

from flagrank.flags.assignment import BUCKETS
from flagrank.flags.document import FlagDocument


def exposure(document: FlagDocument | None) -> int:
    """Orders documents by who is treated: 0 is off, 1 the allow list alone, then a step for each bucket.

    One that cannot be read comes last: others may be able to.
    """
    if document is None:
        return BUCKETS + 2
    return 1 + document.threshold if document.enabled else 0


def treated_percent(document: FlagDocument | None) -> float:
    """The share of users that is treated, in percent; 100 where there is no telling."""
    if document is None:
        return 100.0
    return document.percent if document.enabled else 0.0


def raises_exposure(before: FlagDocument | None, after: FlagDocument) -> bool:
    """Whether more users are treated than before, or served what was in shadow; there is no before a first document."""
    if before is None or not after.enabled:
        return False
    served = (before.mode, after.mode) == ("shadow", "serve")
    return served or exposure(after) > exposure(before)


def lowers_exposure(before: FlagDocument | None, after: FlagDocument) -> bool:
    """Whether fewer users are treated than before."""
    return before is not None and exposure(after) < exposure(before)
