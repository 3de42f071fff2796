"""What AWS's own tools say of the stack."""

import functools
import json
from typing import Any

import pytest

from tests.packaging.stack_template import RESOURCES, TEMPLATE
from tests.sam import ROOT, run_in_sam_environment

TRANSFORM = str(ROOT / "tests/packaging/sam_transform.py")
SECRET = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:key-AbCdEf"
OPTIONS = (
    "JwtIssuer=https://issuer.example",
    "InferenceProfileId=eu.amazon.nova-lite-v1:0",
    "WarmActiveUsers=1000",
    "BatchInference=true",
    "RerankModelId=cohere.rerank-v3-5:0",
    f"OpenAiKeySecretArn={SECRET}",
    f"RerankKeySecretArn={SECRET}",
)


@functools.cache
def transformed(*parameters: str, layer: str = "layer") -> dict[str, Any]:
    """The CloudFormation resources that the template becomes, with the layer packaged under a name."""
    done = run_in_sam_environment("python", TRANSFORM, str(ROOT / "template.yaml"), layer, *parameters)
    assert done.returncode == 0, done.stderr
    resources: dict[str, Any] = json.loads(done.stdout)["Resources"]
    return resources


def only(resources: dict[str, Any], kind: str) -> dict[str, Any]:
    """The properties of the one resource of a type."""
    (found,) = (entry for entry in resources.values() if entry["Type"] == kind)
    properties: dict[str, Any] = found["Properties"]
    return properties


@pytest.mark.slow
def test_the_template_lints() -> None:
    """`sam validate --lint` has nothing to say."""
    done = run_in_sam_environment("sam", "validate", "--lint")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("parameters", [(), pytest.param(OPTIONS, marks=pytest.mark.slow)], ids=["defaults", "options"])
def test_the_template_survives_sam_s_transform(parameters: tuple[str, ...]) -> None:
    """CloudFormation can make the stack with and without its options; linting does not show this."""
    assert "RecommendFunction" in transformed(*parameters)


def test_every_role_of_the_stack_is_ours() -> None:
    """SAM adds no role of its own, whose logging would be allowed everywhere, and functions get no managed policy."""
    roles = {name: entry for name, entry in transformed().items() if entry["Type"] == "AWS::IAM::Role"}
    assert set(roles) == {name for name, entry in RESOURCES.items() if entry["Type"] == "AWS::IAM::Role"}
    managed = {name for name, entry in roles.items() if "ManagedPolicyArns" in entry["Properties"]}
    assert managed == {"CodeDeployRole"}


def test_new_code_waits_for_the_preflight_and_moves_as_a_canary() -> None:
    """The alias moves through CodeDeploy: first the hook, then a tenth of the traffic, and back on an alarm."""
    resources = transformed()
    (alias,) = (entry for entry in resources.values() if entry["Type"] == "AWS::Lambda::Alias")
    moved = alias["UpdatePolicy"]["CodeDeployLambdaAliasUpdate"]
    assert moved["BeforeAllowTrafficHook"] == {"Ref": "PreflightFunction"}
    group = only(resources, "AWS::CodeDeploy::DeploymentGroup")
    assert group["DeploymentConfigName"] == {
        "Fn::Sub": ["CodeDeployDefault.Lambda${ConfigName}", {"ConfigName": "Canary10Percent5Minutes"}]
    }
    # CodeDeploy takes ten
    alarms = [alarm["Name"]["Ref"] for alarm in group["AlarmConfiguration"]["Alarms"]]
    assert 0 < len(alarms) <= 10
    assert {resources[name]["Type"] for name in alarms} == {"AWS::CloudWatch::Alarm"}
    assert "DEPLOYMENT_STOP_ON_ALARM" in group["AutoRollbackConfiguration"]["Events"]


def test_environments_start_from_a_snapshot() -> None:
    """SnapStart is on unless somebody says otherwise, and nothing excludes it."""
    function = transformed()["RecommendFunction"]["Properties"]
    assert function["SnapStart"] == {"ApplyOn": {"Ref": "SnapStart"}}
    assert TEMPLATE["Parameters"]["SnapStart"]["Default"] == "PublishedVersions"
    assert {"FileSystemConfigs", "EphemeralStorage", "ProvisionedConcurrencyConfig"}.isdisjoint(function)


@pytest.mark.slow
def test_new_code_in_the_layer_is_published() -> None:
    """Most code is in the layer; when it changes, the alias points at another version."""

    def version(resources: dict[str, Any]) -> str:
        name: str = only(resources, "AWS::Lambda::Alias")["FunctionVersion"]["Fn::GetAtt"][0]
        assert resources[name]["Type"] == "AWS::Lambda::Version"
        return name

    assert version(transformed()) != version(transformed(layer="newer-layer"))


def test_the_api_serves_from_its_root() -> None:
    """The stage is $default, so that a path is what the application's routes say."""
    stage = only(transformed(), "AWS::ApiGatewayV2::Stage")
    assert (stage["StageName"], stage["AutoDeploy"]) == ("$default", True)
