"""How an amount is written for people, and how it is read from them."""

import math
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Format:
    """Amounts are kept in one unit and written in another: `parts` of the first are `units` of the second.

    `suffix` names the unit that is kept, `symbol` and `metavar` the unit that is written, and `per` what it is for.
    Nothing above `most` written units makes sense.
    """

    symbol: str
    metavar: str
    round_off: Callable[[float], str]
    units: int = 1
    parts: int = 1
    most: float = math.inf
    suffix: str = ""
    per: str = ""

    def label(self, name: str) -> str:
        """The name of what is written, with what it is for."""
        return f"{name}{self.per}"

    def rounded(self, amount: float) -> str:
        """An observed amount, with as many decimals as are worth reading."""
        return f"{self.round_off(amount * self.units / self.parts)} {self.symbol}"

    def number(self, amount: float) -> str:
        """A limit without its unit, as somebody would type it."""
        return f"{amount * self.units / self.parts:g}"

    def exact(self, amount: float) -> str:
        """A limit with its unit."""
        return f"{self.number(amount)} {self.symbol}"

    def kept(self, written: float) -> float:
        """The amount that somebody wrote as this number."""
        return written / self.units * self.parts


# shares are kept as 0..1
PERCENT = Format("%", "PERCENT", "{:.1f}".format, units=100, most=100.0)
MILLISECONDS = Format("ms", "MS", "{:.0f}".format, suffix="_ms")
# a request's micro-USD, written as the USD of a thousand requests
USD_PER_THOUSAND = Format(
    "USD", "USD", lambda usd: f"{round(usd, 3):g}", parts=1000, suffix="_micro_usd", per=" per 1,000"
)


def duration(seconds: float) -> str:
    """A time as people read it: `50 s`, `12 min`, `3.5 h`, `2 days`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 172_800 else f"{seconds / 86_400:.0f} days"
