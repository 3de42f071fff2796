"""The guard's Lambda against the local cloud: an alarm reaches the users."""

import datetime as dt
import importlib
import json
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from flagrank.local.cloud import APPLICATION, ENVIRONMENT, LOCAL_FLAG, PROFILE, LocalCloud
from tests.e2e.conftest import StartCloud

POLL_S = 1
EVENT: dict[str, Any] = json.loads((Path(__file__).parents[2] / "infra/events/alarm.json").read_text())
# alpha 1 decides the arms and asks no LLM
ALL_TREATED = LOCAL_FLAG.model_copy(update={"percent": 100.0, "alpha": 1.0})


def id_of(items: list[dict[str, Any]], name: str) -> str:
    """The id of a resource by its name."""
    return next(str(item["Id"]) for item in items if item["Name"] == name)


def guard_variables(cloud: LocalCloud) -> dict[str, str]:
    """The variables that the template gives the guard, by id and not by name."""
    appconfig = cloud.client("appconfig")
    application = id_of(appconfig.list_applications()["Items"], APPLICATION)
    scope = {"ApplicationId": application}
    return {
        **cloud.variables,
        "FLAGRANK_APPCONFIG_APPLICATION": application,
        "FLAGRANK_APPCONFIG_ENVIRONMENT": id_of(appconfig.list_environments(**scope)["Items"], ENVIRONMENT),
        "FLAGRANK_APPCONFIG_PROFILE": id_of(appconfig.list_configuration_profiles(**scope)["Items"], PROFILE),
        "FLAGRANK_APPCONFIG_STRATEGY": id_of(appconfig.list_deployment_strategies()["Items"], "flagrank-instant"),
    }


@pytest.mark.rollout
def test_an_alarm_takes_the_treatment_away(start_cloud: StartCloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """Within the poll interval nobody is treated, no request fails, and the record says which alarm it was."""
    cloud = start_cloud(ALL_TREATED, environments=1, flag_poll_s=POLL_S)
    for name, value in guard_variables(cloud).items():
        monkeypatch.setenv(name, value)
    handler = importlib.reload(importlib.import_module("functions.guard.app")).handler
    with httpx.Client(base_url=cloud.url, timeout=30) as client:

        def arm(user: int) -> str:
            served: str = client.get("/recommend", params={"user_id": user}).raise_for_status().json()["arm"]
            return served

        assert arm(1) == "treatment"
        now = dt.datetime.now(dt.UTC).isoformat()
        event = {**EVENT, "detail": {**EVENT["detail"], "state": {"value": "ALARM", "timestamp": now}}}
        assert (handler(event, None)["lowered"], handler(event, None)["lowered"]) == (True, False)
        latest = time.monotonic() + POLL_S + 1
        while arm(1) == "treatment" and time.monotonic() < latest:
            time.sleep(0.2)
        assert {arm(user) for user in range(1, 20)} == {"control"}
    deployed = cloud.flag_control().deployed()
    assert deployed.document == ALL_TREATED.model_copy(update={"enabled": False})
    assert deployed.deployment is not None
    assert deployed.deployment.description.startswith("guard: flagrank-RerankUnhealthy in ALARM since")
