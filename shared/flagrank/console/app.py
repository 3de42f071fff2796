"""The console's pages and routes."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from flagrank.console.state import Reader
from flagrank.console.view import rollout_view

PAGES = (("", "Rollout"),)
STATIC = {"console.css": "text/css", "console.js": "text/javascript"}


@dataclass(frozen=True, slots=True)
class Site:
    """What every page has: `token` begins each path, `where` names the flag, and the page is read anew `every_s`."""

    token: str
    where: str
    every_s: float
    propagation_s: float


class Pages:
    """Renders the templates; everything that is filled in is escaped."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._environment = Environment(
            loader=PackageLoader("flagrank.console"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
        )

    def render(self, name: str, page: str, values: Mapping[str, Any], status: int = 200) -> HTMLResponse:
        """A template with its values, as the answer."""
        site = self._site
        common = {"root": f"/{site.token}", "where": site.where, "every_ms": round(1000 * site.every_s)}
        text = self._environment.get_template(name).render(common | {"pages": PAGES, "page": page} | dict(values))
        return HTMLResponse(text, status)


def create_app(site: Site, reader: Reader) -> Starlette:
    """The console over what a reader reads. `LoopbackOnly` guards it."""
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
            Route(f"{root}/static/{{name}}", static),
        ]
    )
