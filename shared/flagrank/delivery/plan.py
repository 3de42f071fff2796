"""A ramp's steps, and how each of them is judged. Pure."""

import itertools
from dataclasses import dataclass, field

from flagrank.delivery.analysis.limits import Limits
from flagrank.delivery.deployments import DeployedFlag, in_force
from flagrank.errors import ConfigurationError, RolloutRefused
from flagrank.flags.document import FlagDocument, changed


@dataclass(frozen=True, slots=True)
class RampPlan:
    """The percentages of the steps, rising, and how each step is judged; raises ConfigurationError for anything else.

    A step passes after `bake_s` at the earliest. A step without a verdict after `patience_s` is left in force. With
    `shadow` the first step asks the LLM and serves the baseline. Times in seconds.
    """

    percents: tuple[float, ...]
    bake_s: float = 600.0
    observe_every_s: float = 60.0
    patience_s: float = 7200.0
    shadow: bool = True
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        is_rising = all(lower < higher for lower, higher in itertools.pairwise(self.percents))
        if not self.percents or not is_rising or not 0 < self.percents[0] <= self.percents[-1] <= 100:
            raise ConfigurationError("a ramp's percentages rise, above 0 and up to 100, like 1,5,25,50,100")
        for percent in self.percents:
            if abs(percent * 100 - round(percent * 100)) > 1e-9:
                raise ConfigurationError(f"a percentage has at most two decimals, and {percent} has more")
        if self.observe_every_s <= 0 or min(self.bake_s, self.patience_s) < 0:
            raise ConfigurationError("a ramp observes at an interval above 0 s, and its other times are not negative")

    @property
    def name(self) -> str:
        """The percentages, as the record of each step names its ramp."""
        return ",".join(f"{percent:g}" for percent in self.percents)

    def steps(self, document: FlagDocument) -> list[FlagDocument]:
        """The documents that are still to be judged. The first is the one in force if it is a step of this ramp.

        Raises RolloutRefused if more users are treated than at the last step.
        """
        serving = [
            changed(document, {"enabled": True, "mode": "serve", "percent": percent}) for percent in self.percents
        ]
        if document.enabled and document.mode == "serve" and document.percent > 0:
            remaining = [step for step in serving if step.percent >= document.percent]
            if not remaining:
                raise RolloutRefused(f"{document.percent:g} % are treated already; go down with `percent`")
            return remaining
        return [changed(serving[0], {"mode": "shadow"}), *serving] if self.shadow else serving

    def remaining_steps(self, deployed: DeployedFlag) -> list[FlagDocument]:
        """The steps from what is deployed on; raises RolloutRefused or ConfigurationError if a ramp may not begin.

        A step of this ramp may still be in flight: the ramp goes on from there.
        """
        document, deployment = in_force(deployed)
        steps = self.steps(document)
        busy = deployed.in_flight
        if busy is not None and (busy != deployment or steps[0] != document):
            raise RolloutRefused(f"deployment {busy.number} is {busy.state}: {busy.record.render()}")
        return steps
