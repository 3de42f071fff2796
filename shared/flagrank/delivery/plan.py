"""A ramp's steps, and how each of them is judged. Pure."""

from dataclasses import dataclass, field

from flagrank.delivery.analysis.limits import Limits
from flagrank.delivery.deployments import DeployedFlag, in_force
from flagrank.errors import ConfigurationError, RolloutRefused
from flagrank.flags.document import FlagDocument


@dataclass(frozen=True, slots=True)
class RampPlan:
    """The steps' percentages, rising, and how each is judged; raises ConfigurationError for what is no ramp.

    A step counts from `propagation_s` after its deployment, when every environment has it, and passes at the earliest
    after `bake_s` more. A step that cannot be told within `patience_s` is left as it is. With `shadow` the first step
    asks the LLM and serves the baseline. Times in seconds.
    """

    percents: tuple[float, ...]
    bake_s: float = 600.0
    look_every_s: float = 60.0
    patience_s: float = 7200.0
    propagation_s: float = 15.0
    shadow: bool = True
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        rising = all(lower < higher for lower, higher in zip(self.percents, self.percents[1:], strict=False))
        if not self.percents or not rising or not 0 < self.percents[0] <= self.percents[-1] <= 100:
            raise ConfigurationError("a ramp's percentages rise, above 0 and up to 100: 1,5,25,50,100")
        for percent in self.percents:
            if abs(percent * 100 - round(percent * 100)) > 1e-9:
                raise ConfigurationError(f"a percentage has at most two decimals, and {percent} has more")
        if self.look_every_s <= 0 or min(self.bake_s, self.patience_s, self.propagation_s) < 0:
            raise ConfigurationError("a ramp looks every so many seconds, and waits for none or more")

    @property
    def named(self) -> str:
        """The percentages as they are written."""
        return ",".join(f"{percent:g}" for percent in self.percents)

    def steps(self, document: FlagDocument) -> list[FlagDocument]:
        """The documents that are still to be judged, the one in force first if it is a step of this ramp.

        Raises RolloutRefused where more users are treated than the last step would.
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

    def begun(self, deployed: DeployedFlag) -> list[FlagDocument]:
        """The steps from what is deployed on; raises RolloutRefused or ConfigurationError where a ramp may not begin.

        A step of its own that AppConfig still watches is no hindrance: that is where it goes on.
        """
        document, deployment = in_force(deployed)
        steps = self.steps(document)
        busy = deployed.in_flight
        if busy is not None and (busy != deployment or steps[0] != document):
            raise RolloutRefused(f"deployment {busy.number} is {busy.state}: {busy.description}")
        return steps


def named(step: FlagDocument) -> str:
    """A step as people call it."""
    return f"{step.percent:g} %" + (" in shadow" if step.mode == "shadow" else "")


def changed(document: FlagDocument, change: dict[str, object]) -> FlagDocument:
    """The document with fields changed."""
    return FlagDocument.model_validate({**document.model_dump(by_alias=True), **change})
