"""Commands that are imported when they run: their names and first lines of help are known before."""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import typer
from typer.core import TyperGroup

# each group's commands by its name; see `group`
_PLACES: dict[str, Mapping[str, "Place"]] = {}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a command is: `attribute` of `module`, a function or a Typer app. `help` is the first line of its own."""

    module: str
    attribute: str
    help: str


class LazyGroup(TyperGroup):
    """A group whose commands are stand-ins until one of them is called."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """As the base class does, with the command itself in place of its stand-in."""
        name, command, rest = super().resolve_command(ctx, args)
        place = _PLACES[self.name or ""].get(name or "")
        return name, command if place is None else loaded(name or "", place), rest


def group(name: str, description: str, places: Mapping[str, Place]) -> typer.Typer:
    """A Typer app with these commands by name."""
    _PLACES[name] = places
    app = typer.Typer(name=name, cls=LazyGroup, help=description, no_args_is_help=True, pretty_exceptions_enable=False)
    for command, place in places.items():
        app.command(command, help=place.help)(_stand_in)
    return app


def loaded(name: str, place: Place) -> Any:
    """The command itself."""
    found = getattr(importlib.import_module(place.module), place.attribute)
    if isinstance(found, typer.Typer):
        return typer.main.get_command(found)
    alone = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    alone.command(name)(found)
    return typer.main.get_command(alone)


def _stand_in() -> None:
    """Never called: `resolve_command` gives the command itself."""
