"""Every decision says what it is and when it was taken, and can be found."""

import math
import re
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "infra" / "decisions"
DECISIONS = sorted(FOLDER.glob("[0-9]*.md"))
INDEX = (FOLDER / "README.md").read_text()
HEAD = re.compile(
    r"# (?P<number>\d+)\. (?P<title>.+)\n\n"
    r"Status: (?P<status>accepted|superseded by \d{4})\n"
    r"Date: (?P<date>\d{4}-\d\d-\d\d)(, revised (?P<revised>\d{4}-\d\d-\d\d))?\n\n"
)
LINES_OF_A_PAGE, WIDTH = 70, 120


@pytest.mark.parametrize("path", DECISIONS, ids=lambda path: path.name[:4])
def test_a_decision_begins_with_its_status_and_date(path: Path) -> None:
    """Number, title, status and date stand first, and the number is the file's."""
    head = HEAD.match(path.read_text())
    assert head, "the first lines are `# NUMBER. TITLE`, `Status: accepted` and `Date: YYYY-MM-DD`"
    assert int(head["number"]) == int(path.name[:4])


@pytest.mark.parametrize("path", DECISIONS, ids=lambda path: path.name[:4])
def test_a_decision_fits_one_page(path: Path) -> None:
    """Nobody reads two. A line that is longer than a page is wide counts for as many as it fills."""
    assert sum(max(1, math.ceil(len(line) / WIDTH)) for line in path.read_text().splitlines()) <= LINES_OF_A_PAGE


def test_the_index_lists_every_decision_once() -> None:
    """A row for each: link, title, status, and the date of the latest version."""
    rows = []
    for path in DECISIONS:
        head = HEAD.match(path.read_text())
        assert head
        date = head["revised"] or head["date"]
        rows.append(f"| [{path.name[:4]}]({path.name}) | {head['title']} | {head['status']} | {date} |")
    assert re.findall(r"^\| \[.*$", INDEX, re.MULTILINE) == rows
