"""The machine's clock."""

import time


class SystemClock:
    """Time as the machine tells it."""

    def monotonic(self) -> float:
        """Seconds on a scale that never goes back."""
        return time.monotonic()

    def now(self) -> float:
        """Seconds since the epoch."""
        return time.time()
