"""What lowers exposure without an operator, against the local cloud: the guard's Lambda, and AppConfig's monitor."""

import datetime as dt
import importlib
import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from flagrank.delivery.change_record import ChangeRecord
from flagrank.local.cloud import APPLICATION, ENVIRONMENT, LOCAL_FLAG, PROFILE, LocalCloud
from tests.e2e.conftest import StartCloud

POLL_S = 1
ENVIRONMENTS = 2
PATIENCE_S = 20.0
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
        "FLAGRANK_APPCONFIG_STRATEGY": strategy(cloud, "guard-instant", bake_minutes=0),
    }


def strategy(cloud: LocalCloud, name: str, bake_minutes: int) -> str:
    """A strategy that gives everyone the document at once."""
    made: str = cloud.client("appconfig").create_deployment_strategy(
        Name=name,
        DeploymentDurationInMinutes=0,
        FinalBakeTimeInMinutes=bake_minutes,
        GrowthFactor=100.0,
        ReplicateTo="NONE",
    )["Id"]
    return made


def arms(client: httpx.Client) -> set[str]:
    """The arms of some users, over all environments; no request fails."""
    with ThreadPoolExecutor(ENVIRONMENTS) as threads:
        answers = threads.map(lambda user: client.get("/recommend", params={"user_id": user}), range(1, 41))
        return {answer.raise_for_status().json()["arm"] for answer in answers}


def await_arms(client: httpx.Client, expected: set[str], patience_s: float) -> set[str]:
    """The arms as they are once they are those, or when patience ends."""
    end_s = time.monotonic() + patience_s
    while (seen := arms(client)) != expected and time.monotonic() < end_s:
        time.sleep(0.2)
    return seen


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
        assert arms(client) == {"control"}
    deployed = cloud.flag_control().deployed()
    assert deployed.document == ALL_TREATED.model_copy(update={"enabled": False})
    assert deployed.deployment is not None
    assert deployed.deployment.record.render().startswith("guard: flagrank-RerankUnhealthy in ALARM since")


@pytest.mark.rollout
@pytest.mark.slow
def test_a_rise_is_rolled_back_while_it_bakes(start_cloud: StartCloud) -> None:
    """AppConfig's monitor goes off: every environment goes back, a rise under it does not last, and `off` does."""
    off = ALL_TREATED.model_copy(update={"enabled": False})
    # an hour a minute: a bake that could end during the test would prove nothing
    cloud = start_cloud(off, environments=ENVIRONMENTS, flag_poll_s=POLL_S, minute_s=3600.0)
    variables = guard_variables(cloud)
    appconfig = cloud.client("appconfig")
    scope = {
        "ApplicationId": variables["FLAGRANK_APPCONFIG_APPLICATION"],
        "EnvironmentId": variables["FLAGRANK_APPCONFIG_ENVIRONMENT"],
    }
    profile = {
        "ApplicationId": scope["ApplicationId"],
        "ConfigurationProfileId": variables["FLAGRANK_APPCONFIG_PROFILE"],
    }
    version = appconfig.create_hosted_configuration_version(
        **profile, Content=ALL_TREATED.model_dump_json(by_alias=True).encode(), ContentType="application/json"
    )["VersionNumber"]
    baking = strategy(cloud, "five-minutes", bake_minutes=5)

    def rise() -> int:
        started = appconfig.start_deployment(
            **scope,
            ConfigurationProfileId=profile["ConfigurationProfileId"],
            DeploymentStrategyId=baking,
            ConfigurationVersion=str(version),
        )
        number: int = started["DeploymentNumber"]
        return number

    def state(number: int) -> str:
        end_s = time.monotonic() + 10
        while (found := appconfig.get_deployment(**scope, DeploymentNumber=number)["State"]) == "ROLLING_BACK":
            assert time.monotonic() < end_s
            time.sleep(0.05)
        return str(found)

    with httpx.Client(base_url=cloud.url, timeout=30) as client:
        first = rise()
        assert await_arms(client, {"treatment"}, PATIENCE_S) == {"treatment"}
        assert state(first) == "BAKING"
        httpx.put(cloud.endpoint("appconfig") + "/_monitor", json={"firing": True}).raise_for_status()
        assert state(first) == "ROLLED_BACK"
        assert await_arms(client, {"control"}, PATIENCE_S) == {"control"}
        assert state(rise()) == "ROLLED_BACK"
        cloud.flag_control().deploy(off, ChangeRecord("test", "off"), urgent=True)
        deployed = cloud.flag_control().deployed()
        assert deployed.deployment is not None
        assert (deployed.document, deployed.deployment.record) == (off, ChangeRecord("test", "off"))
        time.sleep(POLL_S + 1)
        assert arms(client) == {"control"}
