"""What every page of the console has, and how its templates are filled in."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.responses import HTMLResponse

PAGES = (("", "Rollout"), ("preview", "Preview"), ("dashboard", "Dashboard"))


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
