"""The options `--local [PORT]` and `--bucket`."""

from typing import Annotated

import typer

DEFAULT_PORT = 8080
PORTS = range(1024, 65536)
# commands whose own argument may follow a bare `--local`
TAKING_NUMBERS = frozenset({"percent", "ramp", "diff", "activate"})

LocalOption = Annotated[
    int | None,
    typer.Option(
        "--local",
        metavar="[PORT]",
        help=f"The local cloud that serves this port ({DEFAULT_PORT} if none is given) instead of AWS.",
    ),
]

BucketOption = Annotated[
    str | None, typer.Option(envvar="FLAGRANK_BUCKET", help="The stack's bucket (output BucketName).")
]


def with_default_port(arguments: list[str]) -> list[str]:
    """The arguments with the default port added to a bare `--local`. A number that is meant for the command is no port.

    Typer has no options whose value may be left out.
    """
    takes_numbers = TAKING_NUMBERS.intersection(arguments)
    filled = []
    for place, argument in enumerate(arguments):
        following = arguments[place + 1] if place + 1 < len(arguments) else ""
        is_port = following.isdecimal() and (int(following) in PORTS or not takes_numbers)
        filled.append(f"--local={DEFAULT_PORT}" if argument == "--local" and not is_port else argument)
    return filled
