"""What AppConfig lists: page by page, by name or id, and a deployment as it describes one."""

import datetime as dt
from collections.abc import Iterator
from typing import Any

from flagrank.delivery.deployments import Deployment
from flagrank.errors import ConfigurationError


def items(listing: Any, **scope: Any) -> Iterator[dict[str, Any]]:
    """Every item of a listing, each page read when it is needed."""
    token: dict[str, str] = {}
    while True:
        page = listing(**scope, **token)
        yield from page["Items"]
        if not page.get("NextToken"):
            return
        token = {"NextToken": page["NextToken"]}


def found(listing: Any, identifier: str, what: str, **scope: str) -> str:
    """The id of what has this name or id; raises ConfigurationError if nothing has."""
    for entry in items(listing, **scope):
        if identifier in (entry["Id"], entry["Name"]):
            entry_id: str = entry["Id"]
            return entry_id
    raise ConfigurationError(f"AppConfig has no {what} {identifier!r} here; look at account, region and names")


def deployment_of(answer: dict[str, Any]) -> Deployment:
    """A deployment as AppConfig describes one."""
    minutes = answer["DeploymentDurationInMinutes"] + answer["FinalBakeTimeInMinutes"]
    return Deployment(
        number=answer["DeploymentNumber"],
        version=answer["ConfigurationVersion"],
        label=answer.get("VersionLabel") or "",
        state=answer["State"],
        description=answer.get("Description") or "",
        started_at=answer["StartedAt"].isoformat(timespec="seconds"),
        ends_at=(answer["StartedAt"] + dt.timedelta(minutes=minutes)).isoformat(timespec="seconds"),
    )
