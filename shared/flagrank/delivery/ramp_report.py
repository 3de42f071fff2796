"""How a ramp ended, and its report. Pure."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from flagrank.delivery.change_record import GUARD
from flagrank.delivery.deployments import DeployedFlag, Deployment
from flagrank.delivery.observation import Observation
from flagrank.flags.document import FlagDocument
from flagrank.flags.exposure import exposure_in_words, treated_percent


class Ending(StrEnum):
    """How a ramp ended.

    DONE: its last step passed. FAILED: a step failed, and is no longer in force. FAILING: a step failed, and the
    operator did not wait until it was off. HELD: a step is left in force without a verdict, or the next one could not
    be deployed. OVERTAKEN: somebody else changed the flag.
    """

    DONE = "done"
    FAILED = "failed"
    FAILING = "failing"
    HELD = "held"
    OVERTAKEN = "overtaken"


@dataclass(frozen=True, slots=True)
class RampReport:
    """How a ramp ended, the document that it left in force, and its last observation.

    `exposed` counts the treated requests of the step that failed, `exposed_by_ramp` those of all its steps; each is
    None if it is not known.
    """

    ending: Ending
    sentence: str
    document: FlagDocument
    observation: Observation | None = None
    exposed: int | None = None
    exposed_by_ramp: int | None = None


class RampEnded(Exception):
    """Ends a ramp from within; carries the report."""

    def __init__(self, report: RampReport) -> None:
        super().__init__(report.sentence)
        self.report = report


def overtaken(step: FlagDocument, deployed: DeployedFlag, *, is_own: bool) -> RampReport:
    """The end of a ramp whose step is no longer in force. With `is_own` the newest deployment is that step, undone.

    The step failed if an alarm made AppConfig or the guard change the flag. Anybody else overtook the ramp.
    """
    newest, document = deployed.newest, deployed.document or step
    if newest is None or is_own:
        is_alarm = newest is not None and newest.state == "ROLLED_BACK"
        ending = Ending.FAILED if is_alarm else Ending.OVERTAKEN
        why = "AppConfig undid it, as it does when an alarm fires" if is_alarm else "somebody undid it"
    else:
        ending = Ending.FAILED if newest.record.actor == GUARD else Ending.OVERTAKEN
        why = f"{newest.record.actor or 'somebody'} changed the flag: {newest.record.summary}"
    now = f"{treated_percent(document):g} % are treated now"
    return RampReport(ending, f"stopped at {exposure_in_words(step)}, since {why}; {now}", document)


def taken_over(step: FlagDocument, actor: str) -> RampReport:
    """The end of a ramp whose lease somebody else took. Its step stays in force."""
    words = exposure_in_words(step)
    return RampReport(Ending.OVERTAKEN, f"stopped at {words}, since {actor} took over; {words} is left in force", step)


def ramp_began_s(newest_first: Sequence[Deployment], failed: Deployment, ramp: str) -> float:
    """When a ramp took its first step, in epoch seconds. `failed` is its last step, `ramp` its percentages.

    An earlier ramp with the same percentages does not count, since another change lies between.
    """
    until = itertools.dropwhile(lambda entry: entry.number > failed.number, newest_first)
    steps = itertools.takewhile(lambda entry: entry.record.ramp == ramp, until)
    return min((entry.started_at_s for entry in steps), default=failed.started_at_s)
