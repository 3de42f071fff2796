"""A judgement task as the queue carries it."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from flagrank.errors import UnreadableMessage
from flagrank.ports import JudgementTask

MAX_TEXTS = 1000


class TaskMessage(BaseModel):
    """The body of one message."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    format: Literal[1] = 1
    intent: Annotated[str, Field(min_length=1)]
    model_id: Annotated[str, Field(min_length=1)]
    version: Annotated[str, Field(min_length=1)]
    texts: Annotated[tuple[str, ...], Field(min_length=1, max_length=MAX_TEXTS)]
    refresh: bool = False


def write_task(task: JudgementTask) -> str:
    """The body of a task's message: JSON in ASCII, since a queue refuses some characters that a text may hold."""
    message = TaskMessage(
        intent=task.intent, model_id=task.model_id, version=task.version, texts=task.texts, refresh=task.refresh
    )
    return message.model_dump_json(ensure_ascii=True)


def read_task(body: str) -> JudgementTask:
    """The task of a message; raises UnreadableMessage for a body that is none of ours."""
    try:
        message = TaskMessage.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        raise UnreadableMessage(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    return JudgementTask(message.intent, message.model_id, message.version, message.texts, message.refresh)
