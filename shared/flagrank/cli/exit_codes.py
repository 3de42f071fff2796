"""How a command ends, as a number that scripts can tell apart."""

from enum import IntEnum

from flagrank.errors import ConfigurationError, DataError, FlagrankError, PublishConflict, RolloutRefused


class ExitCode(IntEnum):
    """DONE. FAILED: it could not be done, or a step of a ramp failed. USAGE: bad usage, input or settings. REFUSED: the
    change must not go out. OVERTAKEN: somebody else changed the same thing meanwhile. HELD: a ramp stands without a
    verdict. INTERRUPTED: by Ctrl-C, as shells have it.
    """

    DONE = 0
    FAILED = 1
    USAGE = 2
    REFUSED = 3
    OVERTAKEN = 4
    HELD = 5
    INTERRUPTED = 130


def exit_code(error: FlagrankError) -> ExitCode:
    """The code of a failure."""
    if isinstance(error, DataError | ConfigurationError):
        return ExitCode.USAGE
    if isinstance(error, RolloutRefused):
        return ExitCode.REFUSED
    return ExitCode.OVERTAKEN if isinstance(error, PublishConflict) else ExitCode.FAILED
