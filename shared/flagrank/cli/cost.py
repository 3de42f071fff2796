"""`flagrank cost`: what traffic costs in a month and for each thousand requests, before anybody deploys it."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from flagrank.cli.option_groups import with_option_groups
from flagrank.cli.output import JsonFlag, emit_json, stdout
from flagrank.errors import ConfigurationError

if TYPE_CHECKING:
    from flagrank.costs.bill import Bill
    from flagrank.costs.prices import PriceList
    from flagrank.costs.workload import Workload

# the template's alarms; `tests/packaging/test_alarms.py` counts them
ALARM_METRICS, COMPOSITE_ALARMS = 43, 8
type PathName = Literal["inline", "async", "student", "precomputed"]
type ArchitectureName = Literal["arm64", "x86_64"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """Who asks; each field is an option."""

    rps: Annotated[float, typer.Option(min=0.001, max=1e6, help="Requests a second, day and night.")] = 100.0
    treated: Annotated[float, typer.Option(min=0, max=100, help="Treated users, in percent.")] = 25.0
    hit_rate: Annotated[
        float, typer.Option(min=0, max=1, help="Share of treated requests whose head the cache holds whole.")
    ] = 0.6
    missing_items: Annotated[
        float, typer.Option(min=1, max=100, help="Items that a treated request misses where it misses any.")
    ] = 60.0
    tasks_per_miss: Annotated[
        float, typer.Option(min=0, max=1, help="Of the requests that miss items, those that put a task on the queue.")
    ] = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Judging:
    """Who judges; each field is an option."""

    path: Annotated[PathName, typer.Option(help="Who judges, and when.")] = "async"
    model: Annotated[str, typer.Option(help="The flag's model_id.")] = "amazon.nova-lite-v1:0"
    answer: Annotated[Literal["compact", "verbose"], typer.Option(help="The flag's form of the answer.")] = "compact"
    batch_items: Annotated[int, typer.Option(min=1, max=50, help="Items in one call.")] = 10
    item_chars: Annotated[int, typer.Option(min=1, max=240, help="Characters of an item's text.")] = 90
    intent_chars: Annotated[int, typer.Option(min=1, max=240, help="Characters of an intent.")] = 40
    retries: Annotated[float, typer.Option(min=0, max=1, help="Calls that are repeated, for each call.")] = 0.04
    llm_ms: Annotated[float, typer.Option(min=0, help="Time of one call, ms.")] = 500.0
    keep_judgements: Annotated[
        bool, typer.Option("--keep-judgements", help="KeepJudgementsDays is set; a student needs it.")
    ] = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """What it runs on; each field is an option."""

    architecture: Annotated[ArchitectureName, typer.Option(help="Lambda's processor.")] = "arm64"
    memory_mb: Annotated[int, typer.Option(min=128, max=10_240, help="Lambda's memory.")] = 1769
    control_ms: Annotated[float, typer.Option(min=1, help="A request of the control arm, ms: assumed.")] = 5.0
    treated_ms: Annotated[
        float, typer.Option(min=1, help="A treated request, without the LLM's part of it, ms: assumed.")
    ] = 12.0
    environments: Annotated[
        int | None,
        typer.Option(min=1, help="Environments that serve; from the durations if none is given.", show_default=False),
    ] = None
    set_mb: Annotated[float, typer.Option(min=0.1, help="A published set, MB.")] = 10.0
    response_bytes: Annotated[int, typer.Option(min=1, help="A response with its headers.")] = 600


@with_option_groups
def cost(traffic: Traffic, judging: Judging, deployment: Deployment, json: JsonFlag = False) -> None:
    """What steady traffic costs by service, for each thousand requests and in a month of 730 hours.

    Prices are list prices of one region, from one dated file, without free tiers. Call numbers follow the code, and are
    held to what the local cloud counts. Durations are assumptions until you have measured yours: give your own.
    """
    from flagrank.costs.bill import bill_of
    from flagrank.costs.prices import price_list
    from flagrank.costs.workload import Path

    prices = price_list()
    if judging.model not in prices.models:
        known = ", ".join(sorted(prices.models))
        raise ConfigurationError(f"--model {judging.model}: the list has no price for it, but for {known}")
    workload = _workload(traffic, judging, deployment, Path(judging.path))
    bill = bill_of(workload, prices)
    paths = {path: bill_of(_workload(traffic, judging, deployment, path), prices) for path in Path}
    models = {model: bill_of(_of_model(traffic, judging, deployment, model), prices) for model in prices.models}
    if json:
        emit_json(_document(workload, bill, paths, models, prices))
        return
    for line in _lines(workload, bill, paths, models, prices):
        stdout.print(line, markup=False)


def _of_model(traffic: Traffic, judging: Judging, deployment: Deployment, model: str) -> "Workload":
    from dataclasses import replace

    from flagrank.costs.workload import Path

    return _workload(traffic, replace(judging, model=model), deployment, Path(judging.path))


def _workload(traffic: Traffic, judging: Judging, deployment: Deployment, path: Any) -> "Workload":
    from flagrank.costs.tokens import input_tokens, output_tokens
    from flagrank.costs.workload import Workload

    # the last call of a head may be smaller
    items = min(judging.batch_items, round(traffic.missing_items))
    return Workload(
        rps=traffic.rps,
        treated=traffic.treated / 100,
        hit_rate=traffic.hit_rate,
        path=path,
        model_id=judging.model,
        missing_items=traffic.missing_items,
        tasks_per_miss=traffic.tasks_per_miss,
        batch_items=judging.batch_items,
        input_tokens_per_call=input_tokens(items, judging.item_chars, judging.intent_chars, judging.answer),
        output_tokens_per_call=output_tokens(items, judging.answer),
        retries=judging.retries,
        llm_ms=judging.llm_ms,
        keeps_judgements=judging.keep_judgements,
        architecture=deployment.architecture,
        memory_mb=deployment.memory_mb,
        control_ms=deployment.control_ms,
        treated_ms=deployment.treated_ms,
        environments=deployment.environments,
        set_mb=deployment.set_mb,
        response_bytes=deployment.response_bytes,
        alarm_metrics=ALARM_METRICS,
        composite_alarms=COMPOSITE_ALARMS,
    )


def _document(
    workload: "Workload", bill: "Bill", paths: dict[Any, "Bill"], models: dict[str, "Bill"], prices: "PriceList"
) -> dict[str, Any]:
    lines = [asdict(line) | {"usd_per_thousand_requests": bill.per_thousand(line.usd)} for line in bill.lines]
    return {
        "region": prices.region,
        "prices_dated": prices.dated,
        "assumed_prices": prices.assumed(),
        "workload": asdict(workload)
        | {"environments": workload.serving_environments, "worker_environments": workload.working_environments},
        "lines": lines,
        "usd_per_month": bill.usd,
        "usd_per_thousand_requests": bill.per_thousand(bill.usd),
        "by_path": {str(path): _short(other) for path, other in paths.items()},
        "by_model": {model: _short(other) for model, other in models.items()},
    }


def _short(bill: "Bill") -> dict[str, float]:
    return {
        "usd_per_month": bill.usd,
        "usd_per_thousand_requests": bill.per_thousand(bill.usd),
        "llm_usd_per_thousand_treated": bill.llm_per_thousand_treated(),
    }


def _lines(
    workload: "Workload", bill: "Bill", paths: dict[Any, "Bill"], models: dict[str, "Bill"], prices: "PriceList"
) -> Iterator[str]:
    yield f"{prices.region}, prices of {prices.dated}, without free tiers; * is a price that is assumed"
    yield (
        f"{workload.rps:g} requests a second, {workload.treated:.0%} treated, {workload.hit_rate:.0%} of them hits, "
        f"path {workload.path}, {workload.architecture}, {workload.serving_environments} environments and "
        f"{workload.working_environments} of the worker"
    )
    yield f"{'':12} {'':24} {'a month':>16} {'USD/1000 requests':>18} {'USD/month':>12}"
    for line in bill.lines:
        name = line.what.replace("_", " ") + ("*" if line.assumed else "")
        yield (
            f"{line.service:12} {name:24.24} {line.quantity:16,.0f} {bill.per_thousand(line.usd):18.6f} "
            f"{line.usd:12,.2f}"
        )
    yield f"{'all':12} {'':24} {'':16} {bill.per_thousand(bill.usd):18.6f} {bill.usd:12,.2f}"
    yield from _compared("by path", {str(path): other for path, other in paths.items()})
    yield from _compared(f"by model, path {workload.path}", models)


def _compared(title: str, bills: dict[str, "Bill"]) -> Iterator[str]:
    yield ""
    yield f"{title:42} {'LLM USD/1000 treated':>22} {'USD/month':>12}"
    for name, bill in bills.items():
        yield f"{name:42} {bill.llm_per_thousand_treated():22.4f} {bill.usd:12,.2f}"
