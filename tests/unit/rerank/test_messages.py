"""A judgement task as the queue carries it."""

import pytest

from flagrank.errors import UnreadableMessage
from flagrank.ports import JudgementTask
from flagrank.rerank.messages import read_task, write_task

TASK = JudgementTask("red shoes", "some.model", "listwise-1", ("a red shoe",), refresh=True)


def test_a_message_reads_as_the_task_that_was_written() -> None:
    """The way there and back changes nothing."""
    assert read_task(write_task(TASK)) == TASK


def test_a_message_has_no_place_for_a_user() -> None:
    """It holds the intent, the texts, and who is to judge them; a body with more is refused."""
    assert set(JudgementTask.__dataclass_fields__) == {"intent", "model_id", "version", "texts", "refresh"}
    with pytest.raises(UnreadableMessage, match="user_id"):
        read_task(write_task(TASK).replace('"refresh":', '"user_id":7,"refresh":'))


@pytest.mark.parametrize(
    "body",
    [
        "",
        "no json",
        "[]",
        "{}",
        '{"format":2,"intent":"a","model_id":"m","version":"v","texts":["t"]}',
        '{"format":1,"intent":"a","model_id":"m","version":"v","texts":[]}',
        '{"format":1,"intent":"a","model_id":"m","version":"v","texts":[1]}',
    ],
)
def test_a_body_of_another_kind_is_unreadable(body: str) -> None:
    """Nothing is guessed."""
    with pytest.raises(UnreadableMessage):
        read_task(body)
