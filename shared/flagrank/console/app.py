"""The console's pages and routes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from flagrank.console.actions import Operator
from flagrank.console.changes import Changes
from flagrank.console.dashboard import SHOWN_S, graphs
from flagrank.console.pages import Pages, Site
from flagrank.console.preview import Preview, preview_view
from flagrank.console.state import Ports, Reader
from flagrank.console.view import rollout_view
from flagrank.errors import CloudError, FlagrankError

# the dashboard's JSON, and the figures since a time (epoch s); raises CloudError
type DashboardSource = Callable[[float], tuple[str, Mapping[str, Any]]]

STATIC = {"console.css": "text/css", "console.js": "text/javascript"}


@dataclass(frozen=True, slots=True)
class Answers:
    """What the other pages ask: both arms' answers to a request, and what the dashboard is drawn from."""

    preview: Preview
    dashboard: DashboardSource


def create_app(site: Site, reader: Reader, ports: Ports, operator: Operator, answers: Answers) -> Starlette:
    """The console over what a reader reads of its ports. `LoopbackOnly` guards it."""
    pages = Pages(site)

    async def view() -> dict[str, Any]:
        return rollout_view(await run_in_threadpool(reader.read), site.propagation_s)

    async def rollout(_: Request) -> Response:
        return pages.render("rollout.html", "", await view())

    async def live(_: Request) -> Response:
        return pages.render("live.html", "", await view())

    async def static(request: Request) -> Response:
        name = request.path_params["name"]
        if name not in STATIC:
            return Response("not found", 404)
        return Response((files("flagrank.console") / "static" / name).read_bytes(), media_type=STATIC[name])

    root = f"/{site.token}"
    return Starlette(
        routes=[
            Route(f"{root}/", rollout),
            Route(f"{root}/live", live),
            *_other_pages(root, pages, ports, answers),
            Route(f"{root}/static/{{name}}", static),
            *Changes(pages, reader, ports, operator).routes(root),
        ]
    )


def _other_pages(root: str, pages: Pages, ports: Ports, answers: Answers) -> list[Route]:
    async def show_preview(request: Request) -> Response:
        asked = {name: request.query_params.get(name, "").strip() for name in ("user_id", "query")}
        shown: dict[str, Any] = {"sides": [], "summary": "", "problem": ""}
        if asked["user_id"]:
            try:
                shown |= preview_view(await run_in_threadpool(answers.preview, asked["user_id"], asked["query"]))
            except FlagrankError as error:
                shown["problem"] = str(error)
        return pages.render("preview.html", "preview", asked | shown, 422 if shown["problem"] else 200)

    async def show_dashboard(_: Request) -> Response:
        now_s = ports.clock.now()
        try:
            body, figures = await run_in_threadpool(answers.dashboard, now_s - SHOWN_S)
        except CloudError as error:
            return pages.render("dashboard.html", "dashboard", {"problem": str(error), "graphs": []})
        shown = {"problem": "", "graphs": graphs(body, figures, now_s)}
        return pages.render("dashboard.html", "dashboard", shown)

    return [Route(f"{root}/preview", show_preview), Route(f"{root}/dashboard", show_dashboard)]
