"""The routes that change the flag: each says what will happen, and does it when that is confirmed."""

from collections.abc import Mapping
from urllib.parse import parse_qsl

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from flagrank.console.actions import Action, Operator, Plan, plan
from flagrank.console.pages import Pages
from flagrank.console.state import Ports, Reader
from flagrank.delivery.change_record import ChangeRecord
from flagrank.errors import CloudError, ConfigurationError, RolloutRefused

REASON_CHARS = 500
FORM_BYTES = 8192


class Changes:
    """What an operator does on the console, in two steps: a page that says what will happen, and doing it."""

    def __init__(self, pages: Pages, reader: Reader, ports: Ports, operator: Operator) -> None:
        self._pages = pages
        self._reader = reader
        self._ports = ports
        self._operator = operator

    def routes(self, root: str) -> list[Route]:
        """The routes below a path."""
        return [
            Route(f"{root}/change/{{action}}", self._ask, methods=["GET"]),
            Route(f"{root}/change/{{action}}", self._do, methods=["POST"]),
        ]

    async def _ask(self, request: Request) -> Response:
        try:
            planned = await run_in_threadpool(self._plan, request.path_params["action"], request.query_params)
        except (CloudError, ConfigurationError, RolloutRefused) as error:
            return self._told("Refused", str(error), 409)
        return self._pages.render("confirm.html", "", {"plan": planned, "actor": self._operator.actor})

    async def _do(self, request: Request) -> Response:
        # a form's fields come like a query; Starlette reads forms with a library of its own
        form = dict(parse_qsl((await request.body())[:FORM_BYTES].decode("utf-8", "replace")))
        try:
            sentence = await run_in_threadpool(self._carry_out, request.path_params["action"], form)
        except (CloudError, ConfigurationError, RolloutRefused) as error:
            return self._told("Not done", str(error), 409)
        return self._told("Done", sentence, 200)

    def _plan(self, name: str, values: Mapping[str, str]) -> Plan:
        if name not in Action:
            raise ConfigurationError(f"there is no action {name!r}")
        return plan(Action(name), _percent(values), self._ports, self._reader.read(now=True), self._operator)

    def _carry_out(self, name: str, form: Mapping[str, str]) -> str:
        planned = self._plan(name, form)
        # the kill switch is for everything that may be in force by now; the others were confirmed for what was shown
        if planned.action is not Action.OFF and form.get("deployment") != str(planned.number):
            raise RolloutRefused("somebody changed the flag since that page was shown: look again")
        reason = " ".join(form.get("reason", "").split())[:REASON_CHARS] or "none given"
        sentence = planned.do(ChangeRecord(self._operator.actor, planned.change, reason))
        self._reader.read(now=True)
        return sentence

    def _told(self, title: str, sentence: str, status: int) -> Response:
        return self._pages.render("told.html", "", {"title": title, "sentence": sentence}, status)


def _percent(values: Mapping[str, str]) -> float | None:
    text = values.get("percent")
    if not text:
        return None
    try:
        percent = float(text)
    except ValueError:
        percent = -1.0
    if not 0 <= percent <= 100:
        raise ConfigurationError(f"{text!r} is not a percentage from 0 to 100")
    return percent
