"""A set that release 0.1 published, served by this one."""

import json
from pathlib import Path

import pytest

from flagrank.flags.document import FlagDocument
from flagrank.offline.publishing import artifact_folder
from tests.wiring import Wired, ids

DATA = Path(__file__).parents[2] / "data"
ANSWERS: dict[str, list[int]] = json.loads((DATA / "set-0.1.answers.json").read_text())


@pytest.mark.parametrize("asked", ANSWERS)
def test_a_set_of_the_first_release_gives_the_answers_that_it_gave_then(asked: str) -> None:
    """Known, cold and folded-in users, with and without a query: the same lists as release 0.1 served from it."""
    user, _, query = asked.partition("|")
    wired = Wired(FlagDocument(enabled=True, percent=0), factors=artifact_folder.load(DATA / "set-0.1"))
    if query == "history":
        answer = wired.recommend(int(user), top_k=8, history=(100, 105))
    else:
        answer = wired.recommend(int(user), top_k=8, query=query or None)
    assert ids(answer) == ANSWERS[asked]
