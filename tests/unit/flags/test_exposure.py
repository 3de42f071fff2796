"""Who is treated by a document: compared, and in words."""

import pytest

from flagrank.flags.document import FlagDocument
from flagrank.flags.exposure import exposure, exposure_in_words, lowers_exposure, raises_exposure, treated_percent

OFF = FlagDocument(percent=50)
NOBODY, FIVE, FIFTY, ALL = (FlagDocument(enabled=True, percent=percent) for percent in (0, 5, 50, 100))
SHADOW = FlagDocument(enabled=True, percent=50, mode="shadow")


@pytest.mark.parametrize(
    ("before", "after", "rises"),
    [
        (FIVE, FIFTY, True),
        (FIFTY, FIVE, False),
        (OFF, FIVE, True),
        (FIFTY, OFF, False),
        (SHADOW, FIVE, True),
        (SHADOW, OFF, False),
        (FIFTY, SHADOW, False),
        (FIFTY, FIFTY.model_copy(update={"alpha": 0.1}), False),
        (None, FIFTY, False),
    ],
)
def test_a_rise_treats_more_users_or_serves_what_was_in_shadow(
    before: FlagDocument | None, after: FlagDocument, rises: bool
) -> None:
    """A first document has nothing before it, and raises nothing."""
    assert raises_exposure(before, after) is rises


def test_exposure_ranks_documents_by_who_is_treated() -> None:
    """Off, the allow list alone, rising percentages, and what cannot be read."""
    ranks = [exposure(document) for document in (OFF, NOBODY, FIVE, FIFTY, ALL, None)]
    assert ranks == sorted(set(ranks))
    assert exposure(SHADOW) == exposure(FIFTY)
    assert lowers_exposure(FIFTY, FIVE)
    assert not any(lowers_exposure(before, FIFTY) for before in (None, FIVE, FIFTY))


@pytest.mark.parametrize(
    ("document", "percent", "words"),
    [
        (OFF, 0.0, "off"),
        (FIVE, 5.0, "5 %"),
        (FlagDocument(enabled=True, percent=0.25), 0.25, "0.25 %"),
        (SHADOW, 50.0, "50 % in shadow"),
        (None, 100.0, "unreadable"),
    ],
)
def test_exposure_has_a_number_and_words(document: FlagDocument | None, percent: float, words: str) -> None:
    """What cannot be read counts as everybody."""
    assert (treated_percent(document), exposure_in_words(document)) == (percent, words)
