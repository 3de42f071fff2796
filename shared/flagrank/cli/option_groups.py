"""Options that several commands share, written once: as the fields of a dataclass."""

import functools
import inspect
from collections.abc import Callable, Iterator
from dataclasses import is_dataclass
from typing import Any


def with_option_groups(command: Callable[..., None]) -> Callable[..., None]:
    """Gives a command the fields of its groups as options.

    A group is a parameter, or a field of a group, whose type is a dataclass. The command is called with the dataclass.
    """
    parameters = inspect.signature(command).parameters
    groups = {name: entry.annotation for name, entry in parameters.items() if is_dataclass(entry.annotation)}
    own = [entry for name, entry in parameters.items() if name not in groups]
    fields = [field for group in groups.values() for field in _fields(group)]
    shown = [entry.replace(kind=inspect.Parameter.KEYWORD_ONLY) for entry in (*own, *fields)]

    @functools.wraps(command)
    def run(**values: Any) -> None:
        built = {name: _build(group, values) for name, group in groups.items()}
        command(**built, **{entry.name: values[entry.name] for entry in own})

    run.__signature__ = inspect.Signature(shown)  # type: ignore[attr-defined]
    run.__annotations__ = {entry.name: entry.annotation for entry in shown}
    return run


def _fields(group: Any) -> Iterator[inspect.Parameter]:
    for entry in inspect.signature(group).parameters.values():
        if is_dataclass(entry.annotation):
            yield from _fields(entry.annotation)
        else:
            yield entry


def _build(group: Any, values: dict[str, Any]) -> Any:
    entries = inspect.signature(group).parameters.items()
    return group(
        **{
            name: _build(entry.annotation, values) if is_dataclass(entry.annotation) else values[name]
            for name, entry in entries
        }
    )
