"""`flagrank demo`: what Flagrank promises, seen in a minute and without an account."""

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Annotated, Any

import typer
from rich.console import Console

from flagrank.cli.output import JsonFlag, emit_json
from flagrank.cli.ramp_view import RampView
from flagrank.delivery.observation import Observation
from flagrank.delivery.ramp_report import Ending, RampReport

# everything is compressed in time: pollers wait a second where AppConfig has them wait 15
POLL_S, MINUTE_S = 1, 0.2
ENVIRONMENTS = 4
PERCENTS = (50.0, 75.0, 100.0)
BREAKS_AT, BREAKS_AFTER_S = 75.0, 4.0
WELL = {"latency_ms": 20.0, "ms_per_input_token": 0.0, "ms_per_output_token": 0.0, "malformed": 0.0}
BROKEN = {"malformed": 0.6, "throttled": 0.4}
LONGEST_S = 180.0

app = typer.Typer(help="See what Flagrank promises, without an account.", no_args_is_help=True)


@app.callback()
def demo() -> None:
    """See what Flagrank promises, without an account."""


@app.command()
def rollback(
    traffic: Annotated[float, typer.Option(min=10, max=500, metavar="RPS", help="Requests a second.")] = 60.0,
    json: JsonFlag = False,
) -> None:
    """Start a local cloud, raise the percentage by a ramp, break the LLM, and see it rolled back: about a minute."""
    console = Console(stderr=json, highlight=False)
    seen = _play(traffic, console, quiet=json)
    if json:
        emit_json(seen.document())
    else:
        console.print("\n" + seen.sentence)
    if not seen.is_as_promised:
        raise typer.Exit(1)


@dataclass(slots=True)
class Rollback:
    """What was seen: how the ramp ended, seconds from the fault to the rollback, and every answer's status."""

    report: RampReport
    fault_to_off_s: float | None
    took_s: float
    statuses: Counter[int] = field(default_factory=Counter)

    @property
    def is_as_promised(self) -> bool:
        """Whether the fault was rolled back, and every request answered."""
        return self.report.ending is Ending.FAILED and self.fault_to_off_s is not None and set(self.statuses) == {200}

    @property
    def sentence(self) -> str:
        """It in words."""
        off = "" if self.fault_to_off_s is None else f"{self.fault_to_off_s:.1f} s after the LLM broke. "
        answered = f"{self.statuses[200]} of {self.statuses.total()} requests were answered with 200"
        return f"{self.report.ending}: {self.report.sentence}\n{off}{answered}; all of it took {self.took_s:.0f} s."

    def document(self) -> dict[str, Any]:
        """It for programs."""
        return {
            "ending": self.report.ending,
            "sentence": self.report.sentence,
            "exposed": self.report.exposed,
            "fault_to_off_s": self.fault_to_off_s,
            "statuses": dict(self.statuses),
            "took_s": self.took_s,
        }


def _play(per_s: float, console: Console, *, quiet: bool) -> Rollback:
    from flagrank.local.cloud import LOCAL_FLAG, REPOSITORY, LocalCloud
    from flagrank.local.traffic import Audience, Traffic
    from flagrank.offline.publishing.artifact_folder import load

    began_s = time.monotonic()
    artifacts = REPOSITORY / "artifacts" / "sample"
    # budgets for a small machine that also carries the load, and two calls a request: so there are enough requests
    fields = {"enabled": False, "top_m": 20, "request_budget_ms": 3000, "call_budget_ms": 2000, "daily_usd_cap": 100.0}
    flag = LOCAL_FLAG.model_copy(update=fields)
    view = RampView(console, [f"{percent:g} %" for percent in PERCENTS], lambda _: "", is_quiet=quiet)
    view.tell("the local cloud starts: AppConfig, Bedrock, S3, DynamoDB and CloudWatch are stand-ins on loopback")
    cloud = LocalCloud(artifacts, flag, WELL, environments=ENVIRONMENTS, flag_poll_s=POLL_S, minute_s=MINUTE_S)
    # nobody learns from this cloud's judgements
    cloud.settings = {"FLAGRANK_KEEP_JUDGEMENTS_DAYS": "0"}
    with cloud, Traffic(cloud.url, per_s, Audience.of(load(artifacts), users=2000)) as load_on_it:
        view.tell(f"{per_s:g} requests/s come in at {cloud.url}; the ramp begins")
        with view.shown():
            report, broke_s = _ramp(cloud, view)
            off_s = time.monotonic()
            # whoever was treated when it was switched off is answered, and everyone after that by the baseline
            time.sleep(POLL_S + 1)
    fault_to_off_s = off_s - broke_s if broke_s is not None else None
    return Rollback(report, fault_to_off_s, time.monotonic() - began_s, load_on_it.statuses)


def _ramp(cloud: Any, view: RampView) -> tuple[RampReport, float | None]:
    """The ramp on a running cloud, whose LLM breaks when a step is in force; gives the report and when it broke."""
    import httpx

    from flagrank.adapters.system_clock import SystemClock
    from flagrank.delivery.analysis.limits import Limits
    from flagrank.delivery.analysis.measures import Limit, Metric
    from flagrank.delivery.plan import RampPlan
    from flagrank.delivery.ramp import Ramp

    broke_s: float | None = None

    def tell(event: Observation | str) -> None:
        nonlocal broke_s
        view.tell(event)
        if broke_s is not None or isinstance(event, str) or event.document.percent != BREAKS_AT:
            return
        if event.in_force_s >= BREAKS_AFTER_S:
            httpx.put(f"{cloud.endpoint('bedrock')}/_behaviour", json=BROKEN, trust_env=False).raise_for_status()
            broke_s = time.monotonic()
            view.tell("the LLM breaks now: of its answers 60 % are malformed and 40 % are refused as throttled")

    limits = Limits({Metric.ERRORS: Limit(absolute=0.04, ceiling=0.05)}, steps=len(PERCENTS))
    # the step at which the LLM breaks must not pass before that
    plan = RampPlan(PERCENTS, BREAKS_AFTER_S + 2, 1.0, LONGEST_S, shadow=False, limits=limits)
    clock = SystemClock()
    ports = cloud.flag_control(), cloud.observed, clock, time.sleep
    ramp = Ramp(plan, *ports, "demo", "flagrank demo rollback", tell, propagation_s=POLL_S + 0.5)
    return ramp.run(), broke_s
