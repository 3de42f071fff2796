"""Who changed the flag, what, and why: a value, and the one line that a deployment keeps of it."""

import re
from dataclasses import dataclass
from typing import Self

# AppConfig's limit for a description, https://docs.aws.amazon.com/appconfig/2019-10-09/APIReference/
DESCRIPTION_CHARS = 1024
# the guard's name as an actor, which no operator may take
GUARD = "guard"

_ALARM = re.compile(r"(?P<alarm>.+? in ALARM since \S+): (?P<change>.+)")
_RAMP_STEP = re.compile(r"(?P<change>ramp .+) of (?P<ramp>[\d.,]+)")


@dataclass(frozen=True, slots=True)
class ChangeRecord:
    """Who changed the flag, what, and why; each part is empty where it does not apply.

    `ramp` holds the percentages of the ramp that took this step, `alarm` the key of the alarm that the guard answered.
    """

    actor: str
    change: str
    reason: str = ""
    ramp: str = ""
    alarm: str = ""

    @property
    def summary(self) -> str:
        """What was changed, and why, in one line of any length."""
        alarm = f"{self.alarm}: " if self.alarm else ""
        ramp = f" of {self.ramp}" if self.ramp else ""
        reason = f" ({self.reason})" if self.reason else ""
        return " ".join(f"{alarm}{self.change}{ramp}{reason}".split())

    def render(self) -> str:
        """The description of a deployment: `actor: summary`, cut where AppConfig takes no more."""
        return " ".join(f"{self.actor}: {self.summary}".split() if self.actor else [self.summary])[:DESCRIPTION_CHARS]

    @classmethod
    def parse(cls, description: str) -> Self:
        """The record that was rendered as this description, which may also be anybody's own words.

        Rendering the record gives the description again. A description that was cut gives a shorter reason.
        """
        actor, _, summary = description.partition(": ")
        if not (actor and summary):
            actor, summary = "", description
        answered = _ALARM.fullmatch(summary) if actor == GUARD else None
        alarm, change = (answered["alarm"], answered["change"]) if answered else ("", summary)
        before, _, inside = change.partition(" (")
        reason = inside.removesuffix(")")
        is_whole = inside.endswith(")") or len(description) == DESCRIPTION_CHARS
        change, reason = (before, reason) if before and reason and is_whole else (change, "")
        step = _RAMP_STEP.fullmatch(change)
        change, ramp = (step["change"], step["ramp"]) if step else (change, "")
        return cls(actor, change, reason, ramp, alarm)

    def stored(self) -> Self:
        """The record as a deployment gives it back: what is too long for a description is cut."""
        return self.parse(self.render())
