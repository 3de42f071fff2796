"""Ctrl-C while a command both waits and acts."""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(slots=True)
class Interrupts:
    """Ctrl-C takes effect when the command waits, not while it acts. A second Ctrl-C takes effect at once.

    Raised at any other moment it could leave a version without its deployment, or a lock that the next call waits for.
    """

    _is_requested: bool = False
    _is_waiting: bool = False

    @contextmanager
    def handled(self) -> Iterator[None]:
        """Handles Ctrl-C like this during the block."""
        before = signal.signal(signal.SIGINT, self._handle)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    def wait(self, seconds: float) -> None:
        """Sleeps. Raises KeyboardInterrupt at a Ctrl-C that comes meanwhile, or that came since the last wait."""
        self._is_waiting = True
        try:
            if self._is_requested:
                raise KeyboardInterrupt
            time.sleep(seconds)
        finally:
            self._is_waiting = False

    def _handle(self, *_: object) -> None:
        if self._is_waiting or self._is_requested:
            raise KeyboardInterrupt
        self._is_requested = True
