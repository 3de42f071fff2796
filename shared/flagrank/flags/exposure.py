"""Who is treated by a document: as numbers that can be compared, and in words."""

from flagrank.flags.assignment import BUCKETS
from flagrank.flags.document import FlagDocument


def exposure(document: FlagDocument | None) -> int:
    """A rank of documents by who is treated: 0 is off, 1 the allow list alone, then one more for each bucket.

    None, a document that cannot be read, ranks highest: another release may be able to read it.
    """
    if document is None:
        return BUCKETS + 2
    return 1 + document.threshold if document.enabled else 0


def treated_percent(document: FlagDocument | None) -> float:
    """The percentage of users who are treated: 100 for None, a document that cannot be read."""
    if document is None:
        return 100.0
    return document.percent if document.enabled else 0.0


def exposure_in_words(document: FlagDocument | None) -> str:
    """`off`, `5 %`, `5 % in shadow`, or `unreadable` for None."""
    if document is None:
        return "unreadable"
    if not document.enabled:
        return "off"
    return f"{document.percent:g} %" + (" in shadow" if document.mode == "shadow" else "")


def raises_exposure(before: FlagDocument | None, after: FlagDocument) -> bool:
    """Whether more users are treated than before, or users are served what was in shadow before.

    False without a document before: nobody could be rolled back to it.
    """
    if before is None or not after.enabled:
        return False
    is_first_served = (before.mode, after.mode) == ("shadow", "serve")
    return is_first_served or exposure(after) > exposure(before)


def lowers_exposure(before: FlagDocument | None, after: FlagDocument) -> bool:
    """Whether fewer users are treated than before. False without a document before."""
    return before is not None and exposure(after) < exposure(before)
