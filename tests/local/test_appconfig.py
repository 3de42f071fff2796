"""The AppConfig stand-in, through boto3 as it is: what AWS's reference says of it."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from flagrank.adapters.appconfig_control import FlagControl
from flagrank.adapters.in_memory import ManualClock
from flagrank.errors import ConfigurationError, RolloutRefused
from flagrank.local.appconfig import create_app
from flagrank.rollout import FlagDocument, json_schema
from tests.local.conftest import Serve

ON = FlagDocument(enabled=True, percent=5)


@dataclass
class Account:
    """An account with one application, environment and profile."""

    clock: ManualClock
    control: Any
    data: Any
    application: str
    environment: str
    profile: str

    def flag(self) -> FlagControl:
        return FlagControl(self.control, "flagrank", "test", "rerank")

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

    def stop(self, number: int, **options: Any) -> Any:
        return self.control.stop_deployment(
            ApplicationId=self.application, EnvironmentId=self.environment, DeploymentNumber=number, **options
        )


@pytest.fixture
def account(serve: Serve) -> Account:
    clock = ManualClock()
    url = serve(create_app(clock))

    def client(service: str) -> Any:
        return boto3.client(
            service, endpoint_url=url, region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x"
        )

    control = client("appconfig")
    application = control.create_application(Name="flagrank")["Id"]
    environment = control.create_environment(ApplicationId=application, Name="test")["Id"]
    validators = [{"Type": "JSON_SCHEMA", "Content": json.dumps(json_schema())}]
    profile = control.create_configuration_profile(
        ApplicationId=application, Name="rerank", LocationUri="hosted", Validators=validators
    )["Id"]
    return Account(clock, control, client("appconfigdata"), application, environment, profile)


def code(call: Callable[[], object]) -> str:
    with pytest.raises(ClientError) as caught:
        call()
    found: str = caught.value.response["Error"]["Code"]
    return found


def test_a_deployed_document_is_polled_once_and_then_unchanged(account: Account) -> None:
    """The first poll has the body, its label and the next token; the next one is empty."""
    account.flag().deploy(ON, actor="me", reason="test")
    first = account.data.get_latest_configuration(ConfigurationToken=account.token())
    assert FlagDocument.model_validate_json(first["Configuration"].read()) == ON
    assert (first["VersionLabel"], first["NextPollIntervalInSeconds"]) == ("v1", 15)
    second = account.data.get_latest_configuration(ConfigurationToken=first["NextPollConfigurationToken"])
    assert second["Configuration"].read() == b""


def test_a_token_is_good_for_one_poll_and_one_day(account: Account) -> None:
    """A used token and an old one are BadRequestException."""
    account.flag().deploy(ON, actor="me", reason="test")
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


def test_a_deployment_deploys_bakes_and_completes_with_the_clock(account: Account) -> None:
    """Meanwhile the environment takes no other."""
    number = account.start(account.version(b"{}"), "AppConfig.Linear50PercentEvery30Seconds")["DeploymentNumber"]
    assert account.state(number) == "DEPLOYING"
    assert code(lambda: account.start(1, "AppConfig.AllAtOnce")) == "ConflictException"
    account.clock.advance(60)
    assert account.state(number) == "BAKING"
    account.clock.advance(60)
    assert account.state(number) == "COMPLETE"


def test_stopping_in_flight_rolls_back_to_the_version_before(account: Account) -> None:
    """Pollers get the earlier document again."""
    account.flag().deploy(ON, actor="me", reason="first")
    number = account.start(account.version(b'{"percent": 50}'), "AppConfig.AllAtOnce")["DeploymentNumber"]
    assert account.stop(number)["State"] == "ROLLED_BACK"
    latest = account.data.get_latest_configuration(ConfigurationToken=account.token())
    assert FlagDocument.model_validate_json(latest["Configuration"].read()) == ON


def test_a_completed_deployment_is_reverted_only_when_asked_and_for_three_days(account: Account) -> None:
    """AllowRevert within 72 hours; BadRequestException without or after."""
    account.flag().deploy(ON, actor="me", reason="first")
    second = account.flag().deploy(ON.model_copy(update={"percent": 50.0}), actor="me", reason="second")
    assert code(lambda: account.stop(second.number)) == "BadRequestException"
    assert account.stop(second.number, AllowRevert=True)["State"] == "REVERTED"
    assert account.flag().deployed().document == ON
    account.clock.advance(72 * 3600)
    assert code(lambda: account.stop(1, AllowRevert=True)) == "BadRequestException"


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
    """The second operator hears what the first is doing; the kill switch stops it."""
    account.flag().deploy(ON, actor="me", reason="first")
    account.start(account.version(b'{"percent": 50}'), "AppConfig.AllAtOnce")
    off = ON.model_copy(update={"enabled": False})
    with pytest.raises(RolloutRefused, match="deployment 2 is BAKING"):
        account.flag().deploy(off, actor="other", reason="off")
    account.flag().deploy(off, actor="other", reason="off", urgent=True)
    assert account.flag().deployed().document == off


def test_the_control_says_what_it_does_not_find(account: Account) -> None:
    """A wrong name is a configuration error that names it."""
    with pytest.raises(ConfigurationError, match="environment 'prod'"):
        FlagControl(account.control, "flagrank", "prod", "rerank")


def test_nothing_deployed_is_nothing(account: Account) -> None:
    """A new environment has no document."""
    deployed = account.flag().deployed()
    assert (deployed.document, deployed.deployment, deployed.newest) == (None, None, None)
