"""The AppConfig stand-in, through boto3 as it is: what AWS's reference says of it."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from botocore.exceptions import ClientError

from flagrank.adapters.control.appconfig_rollout import AppConfigRolloutControl
from flagrank.adapters.in_memory import ManualClock
from flagrank.delivery.change_record import ChangeRecord
from flagrank.errors import ConfigurationError, RolloutRefused
from flagrank.flags.document import FlagDocument, json_schema
from flagrank.local.appconfig import create_app
from flagrank.local.seed import create_flag_profile
from tests.adapters.loopback import client
from tests.local.conftest import Serve

ON = FlagDocument(enabled=True, percent=5)
MORE = b'{"enabled": true, "percent": 50}'
MINUTE_S = 10.0
ROLLBACK_S = 2.0


@dataclass
class Account:
    """An account with one application, environment and profile."""

    clock: ManualClock
    url: str
    control: Any
    data: Any
    application: str
    environment: str
    profile: str

    def flag(self) -> AppConfigRolloutControl:
        return AppConfigRolloutControl.named(self.control, "flagrank", "test", "rerank")

    def token(self) -> str:
        session = self.data.start_configuration_session(
            ApplicationIdentifier="flagrank",
            EnvironmentIdentifier="test",
            ConfigurationProfileIdentifier="rerank",
            RequiredMinimumPollIntervalInSeconds=15,
        )
        token: str = session["InitialConfigurationToken"]
        return token

    def version(self, content: bytes, **options: Any) -> int:
        created = self.control.create_hosted_configuration_version(
            ApplicationId=self.application,
            ConfigurationProfileId=self.profile,
            Content=content,
            ContentType="application/json",
            **options,
        )
        number: int = created["VersionNumber"]
        return number

    def start(self, version: int, strategy: str) -> Any:
        return self.control.start_deployment(
            ApplicationId=self.application,
            EnvironmentId=self.environment,
            DeploymentStrategyId=strategy,
            ConfigurationProfileId=self.profile,
            ConfigurationVersion=str(version),
        )

    def state(self, number: int) -> str:
        state: str = self.control.get_deployment(
            ApplicationId=self.application, EnvironmentId=self.environment, DeploymentNumber=number
        )["State"]
        return state

    def served(self) -> FlagDocument:
        """What a new poller gets."""
        latest = self.data.get_latest_configuration(ConfigurationToken=self.token())
        return FlagDocument.model_validate_json(latest["Configuration"].read())

    def strategy(self, minutes: int, bake_minutes: int) -> str:
        made: str = self.control.create_deployment_strategy(
            Name=f"{minutes}-{bake_minutes}",
            DeploymentDurationInMinutes=minutes,
            FinalBakeTimeInMinutes=bake_minutes,
            GrowthFactor=100.0,
            ReplicateTo="NONE",
        )["Id"]
        return made

    def monitor(self, **changes: bool) -> None:
        httpx.put(self.url + "/_monitor", json=changes).raise_for_status()

    def stop(self, number: int, **options: Any) -> Any:
        return self.control.stop_deployment(
            ApplicationId=self.application, EnvironmentId=self.environment, DeploymentNumber=number, **options
        )


@pytest.fixture
def account(serve: Serve) -> Account:
    clock = ManualClock()
    url = serve(create_app(clock, minute_s=MINUTE_S, rollback_s=ROLLBACK_S))

    control = client("appconfig", url)
    application = control.create_application(Name="flagrank")["Id"]
    monitors = [{"AlarmArn": "arn:aws:cloudwatch:us-east-1:123456789012:alarm:monitor"}]
    environment = control.create_environment(ApplicationId=application, Name="test", Monitors=monitors)["Id"]
    validators = [{"Type": "JSON_SCHEMA", "Content": json.dumps(json_schema())}]
    profile = control.create_configuration_profile(
        ApplicationId=application, Name="rerank", LocationUri="hosted", Validators=validators
    )["Id"]
    return Account(clock, url, control, client("appconfigdata", url), application, environment, profile)


def code(call: Callable[[], object]) -> str:
    with pytest.raises(ClientError) as caught:
        call()
    found: str = caught.value.response["Error"]["Code"]
    return found


def test_a_deployed_document_is_polled_once_and_then_unchanged(account: Account) -> None:
    """The first poll has the body, its label and the next token; the next one is empty."""
    account.flag().deploy(ON, ChangeRecord("me", "test"))
    first = account.data.get_latest_configuration(ConfigurationToken=account.token())
    assert FlagDocument.model_validate_json(first["Configuration"].read()) == ON
    assert (first["VersionLabel"], first["NextPollIntervalInSeconds"]) == ("v1", 15)
    second = account.data.get_latest_configuration(ConfigurationToken=first["NextPollConfigurationToken"])
    assert second["Configuration"].read() == b""


def test_a_token_is_good_for_one_poll_and_one_day(account: Account) -> None:
    """A used token and an old one are BadRequestException."""
    account.flag().deploy(ON, ChangeRecord("me", "test"))
    token, old = account.token(), account.token()
    account.data.get_latest_configuration(ConfigurationToken=token)
    assert code(lambda: account.data.get_latest_configuration(ConfigurationToken=token)) == "BadRequestException"
    account.clock.advance(24 * 3600)
    assert code(lambda: account.data.get_latest_configuration(ConfigurationToken=old)) == "BadRequestException"


def test_an_unknown_name_and_a_short_poll_interval_are_refused(account: Account) -> None:
    """The data plane names what it does not know."""
    names = {"ApplicationIdentifier": "flagrank", "EnvironmentIdentifier": "test"}
    start = account.data.start_configuration_session
    assert code(lambda: start(**names, ConfigurationProfileIdentifier="other")) == "ResourceNotFoundException"
    before_a_deployment = account.token()
    latest = account.data.get_latest_configuration
    assert code(lambda: latest(ConfigurationToken=before_a_deployment)) == "ResourceNotFoundException"


def test_a_document_that_breaks_the_schema_is_no_version(account: Account) -> None:
    """The profile's validator refuses it."""
    assert code(lambda: account.version(b'{"percent": 101}')) == "BadRequestException"
    assert code(lambda: account.version(b"not json")) == "BadRequestException"


def test_a_version_made_meanwhile_is_a_conflict(account: Account) -> None:
    """LatestVersionNumber is the optimistic lock, and labels are unique."""
    account.version(b"{}", VersionLabel="a")
    assert code(lambda: account.version(b"{}", LatestVersionNumber=7)) == "ConflictException"
    assert code(lambda: account.version(b"{}", VersionLabel="a")) == "ConflictException"
    assert account.version(b"{}", LatestVersionNumber=1) == 2


@pytest.mark.parametrize("description", ["caf\xe9", "a\ttab", "x" * 1025])
def test_a_version_s_description_is_a_header(account: Account, description: str) -> None:
    """Printable ASCII, 1,024 characters of it, and nothing else."""
    assert code(lambda: account.version(b"{}", Description=description)) == "BadRequestException"
    assert account.version(b"{}", Description="x" * 1024) == 1


def test_a_deployment_deploys_bakes_and_completes_with_the_clock(account: Account) -> None:
    """A strategy's minute lasts as long as it is told to; meanwhile the environment takes no other."""
    number = account.start(account.version(b"{}"), account.strategy(1, 2))["DeploymentNumber"]
    for state in ("DEPLOYING", "BAKING", "BAKING"):
        assert account.state(number) == state
        assert code(lambda: account.start(1, "AppConfig.AllAtOnce")) == "ConflictException"
        account.clock.advance(MINUTE_S)
    assert account.state(number) == "COMPLETE"


def test_a_deployment_of_nought_minutes_is_served_while_it_bakes(account: Account) -> None:
    """Everyone has it from the start."""
    account.flag().deploy(ON, ChangeRecord("me", "first"))
    number = account.start(account.version(MORE), account.strategy(0, 5))["DeploymentNumber"]
    assert (account.state(number), account.served().percent) == ("BAKING", 50)


def test_stopping_in_flight_rolls_back_to_the_version_before(account: Account) -> None:
    """Pollers get the earlier document again at once; the environment is busy until the rollback is over."""
    account.flag().deploy(ON, ChangeRecord("me", "first"))
    number = account.start(account.version(MORE), account.strategy(1, 0))["DeploymentNumber"]
    assert account.stop(number)["State"] == "ROLLING_BACK"
    assert account.served() == ON
    assert code(lambda: account.start(1, "AppConfig.AllAtOnce")) == "ConflictException"
    assert code(lambda: account.stop(number, AllowRevert=True)) == "BadRequestException"
    account.clock.advance(ROLLBACK_S)
    assert account.state(number) == "ROLLED_BACK"
    account.start(1, "AppConfig.AllAtOnce")


def test_what_bakes_is_stopped_only_when_a_revert_is_allowed(account: Account) -> None:
    """StopDeployment alone works on DEPLOYING; with AllowRevert what is in progress ends as ROLLED_BACK."""
    account.flag().deploy(ON, ChangeRecord("me", "first"))
    number = account.start(account.version(MORE), account.strategy(0, 5))["DeploymentNumber"]
    assert code(lambda: account.stop(number)) == "BadRequestException"
    assert account.stop(number, AllowRevert=True)["State"] == "ROLLING_BACK"


def test_a_completed_deployment_is_reverted_only_when_asked_and_for_three_days(account: Account) -> None:
    """AllowRevert within 72 hours of its completion; BadRequestException without or after."""
    account.flag().deploy(ON, ChangeRecord("me", "first"))
    second = account.flag().deploy(ON.model_copy(update={"percent": 1.0}), ChangeRecord("me", "second"))
    assert code(lambda: account.stop(second.number)) == "BadRequestException"
    assert account.stop(second.number, AllowRevert=True)["State"] == "REVERTED"
    assert account.flag().deployed().document == ON
    account.clock.advance(72 * 3600)
    assert code(lambda: account.stop(1, AllowRevert=True)) == "BadRequestException"


def test_a_ringing_monitor_rolls_back_what_bakes(account: Account) -> None:
    """And what begins while it rings; ROLLED_BACK is when the environment is free again."""
    account.flag().deploy(ON, ChangeRecord("me", "first"))
    version, strategy = account.version(MORE), account.strategy(0, 5)
    first = account.start(version, strategy)["DeploymentNumber"]
    account.monitor(firing=True)
    assert (account.state(first), account.served()) == ("ROLLING_BACK", ON)
    account.clock.advance(ROLLBACK_S)
    second = account.start(version, strategy)
    assert second["State"] == "BAKING"
    account.clock.advance(ROLLBACK_S)
    assert account.state(second["DeploymentNumber"]) == "ROLLING_BACK"
    assert account.served() == ON


def test_a_monitor_without_its_actions_is_not_heeded(account: Account) -> None:
    """As while CloudWatch's DisableAlarmActions holds; a deployment that is complete is out of its reach anyway."""
    account.flag().deploy(ON, ChangeRecord("me", "first"))
    account.monitor(firing=True, actions=False)
    number = account.start(account.version(MORE), account.strategy(0, 5))["DeploymentNumber"]
    assert account.state(number) == "BAKING"
    account.clock.advance(5 * MINUTE_S)
    account.monitor(actions=True)
    assert (account.state(number), account.served().percent) == ("COMPLETE", 50)


def test_off_goes_through_while_the_monitor_rings(account: Account) -> None:
    """A deployment without any minutes has nothing that a monitor could roll back."""
    account.flag().deploy(ON, ChangeRecord("me", "first"))
    account.monitor(firing=True)
    account.start(account.version(MORE), account.strategy(0, 5))
    account.flag().deployed()
    account.clock.advance(ROLLBACK_S)
    off = ON.model_copy(update={"enabled": False})
    account.flag().deploy(off, ChangeRecord("me", "off"), urgent=True)
    assert account.served() == off


def test_an_environment_that_watches_nothing_rolls_nothing_back(account: Account) -> None:
    """The alarm is the environment's business only if it names a monitor."""
    other = account.control.create_environment(ApplicationId=account.application, Name="other")["Id"]
    account.monitor(firing=True)
    scope = {"ApplicationId": account.application, "EnvironmentId": other}
    started = account.control.start_deployment(
        **scope,
        DeploymentStrategyId="AppConfig.AllAtOnce",
        ConfigurationProfileId=account.profile,
        ConfigurationVersion=str(account.version(MORE)),
    )["DeploymentNumber"]
    assert account.control.get_deployment(**scope, DeploymentNumber=started)["State"] == "BAKING"


@pytest.mark.parametrize("kind", ["application", "environment", "profile", "version", "deployment", "strategy"])
def test_what_does_not_exist_is_not_found(account: Account, kind: str) -> None:
    """Every resource is looked up before it is used."""
    ids = {"ApplicationId": account.application, "EnvironmentId": account.environment}
    calls: dict[str, Callable[[], object]] = {
        "application": lambda: account.control.create_environment(ApplicationId="none", Name="x"),
        "environment": lambda: account.control.list_deployments(
            ApplicationId=account.application, EnvironmentId="none"
        ),
        "profile": lambda: account.control.get_configuration_profile(
            ApplicationId=account.application, ConfigurationProfileId="none"
        ),
        "version": lambda: account.control.get_hosted_configuration_version(
            ApplicationId=account.application, ConfigurationProfileId=account.profile, VersionNumber=9
        ),
        "deployment": lambda: account.control.get_deployment(**ids, DeploymentNumber=9),
        "strategy": lambda: account.start(account.version(b"{}"), "none"),
    }
    assert code(calls[kind]) == "ResourceNotFoundException"


def test_the_control_refuses_while_another_deployment_is_in_flight(account: Account) -> None:
    """The second operator hears what the first is doing."""
    account.flag().deploy(ON, ChangeRecord("me", "first"))
    account.start(account.version(MORE), "AppConfig.AllAtOnce")
    with pytest.raises(RolloutRefused, match="deployment 2 is BAKING"):
        account.flag().deploy(ON.model_copy(update={"percent": 100.0}), ChangeRecord("other", "percent 100"))


def test_the_kill_switch_stops_what_is_in_flight(serve: Serve) -> None:
    """It waits for the rollback, and is in force after it."""
    control = client("appconfig", serve(create_app(rollback_s=0.1)))
    create_flag_profile(control, "flagrank", "test", "rerank")
    flag = AppConfigRolloutControl.named(control, "flagrank", "test", "rerank")
    first = flag.deploy(ON, ChangeRecord("me", "first"))
    scope = {"ApplicationId": control.list_applications()["Items"][0]["Id"]}
    environment = control.list_environments(**scope)["Items"][0]["Id"]
    profile = control.list_configuration_profiles(**scope)["Items"][0]["Id"]
    control.start_deployment(
        **scope,
        EnvironmentId=environment,
        DeploymentStrategyId="AppConfig.AllAtOnce",
        ConfigurationProfileId=profile,
        ConfigurationVersion=first.version,
    )
    off = ON.model_copy(update={"enabled": False})
    flag.deploy(off, ChangeRecord("other", "off"), urgent=True)
    assert flag.deployed().document == off


def test_the_control_says_what_it_does_not_find(account: Account) -> None:
    """A wrong name is a configuration error that names it."""
    with pytest.raises(ConfigurationError, match="environment 'prod'"):
        AppConfigRolloutControl.named(account.control, "flagrank", "prod", "rerank")


def test_nothing_deployed_is_nothing(account: Account) -> None:
    """A new environment has no document."""
    deployed = account.flag().deployed()
    assert (deployed.document, deployed.deployment, deployed.newest) == (None, None, None)
