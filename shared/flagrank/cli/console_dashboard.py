"""What the console's dashboard is drawn from: the template's JSON, and the local cloud's figures."""

import functools
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import orjson

from flagrank.cli.target import Target
from flagrank.errors import CloudError

TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class LocalDashboard:
    """A DashboardSource: the dashboard of the clone's template over a local cloud."""

    target: Target

    def __call__(self, since_s: float) -> tuple[str, dict[str, Any]]:
        """The dashboard's JSON and the figures since a time; raises CloudError where there is no local cloud."""
        if self.target.local is None:
            raise CloudError(f"in AWS the dashboard is CloudWatch's own: {self.target.dashboard()}")
        url = f"http://127.0.0.1:{self.target.local}/_local/series?{urlencode({'since_s': since_s})}"
        try:
            with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer:
                return dashboard_body(), orjson.loads(answer.read())
        except (urllib.error.URLError, TimeoutError, ValueError) as error:
            raise CloudError(f"the local cloud at port {self.target.local} has no figures: {error}") from error


@functools.cache
def dashboard_body() -> str:
    """The dashboard's JSON as the template declares it, its own parts filled in and AWS's by their names."""
    import yaml

    from flagrank.local.cloud import REPOSITORY

    class Loader(yaml.SafeLoader):  # type: ignore[misc]
        """Reads CloudFormation's short functions as their arguments."""

    def argument(loader: Any, _: str, node: Any) -> Any:
        if isinstance(node, yaml.ScalarNode):
            return loader.construct_scalar(node)
        if isinstance(node, yaml.SequenceNode):
            return loader.construct_sequence(node, deep=True)
        return loader.construct_mapping(node, deep=True)

    Loader.add_multi_constructor("!", argument)
    template = yaml.load((REPOSITORY / "template.yaml").read_text(), Loader)  # noqa: S506 - a safe loader of ours
    body, parts = template["Resources"]["Dashboard"]["Properties"]["DashboardBody"]
    for name, text in parts.items():
        body = body.replace(f"${{{name}}}", text)
    filled: str = body
    return filled
