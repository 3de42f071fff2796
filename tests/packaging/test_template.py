"""The stack's declaration and the code agree."""

import importlib
import json
from typing import Any

import jsonschema
import pytest

from flagrank.adapters.bedrock_batch import PREFIX as BATCH_PREFIX
from flagrank.cli.generate import generated
from flagrank.flags.document import FlagDocument, json_schema
from flagrank.local.cloud import WARM_BATCH, WARM_ENVIRONMENTS, WARM_TIMEOUT_S
from flagrank.local.seed import MAX_RECEIVES
from flagrank.model.artifacts import POINTER
from flagrank.offline.publishing.publish import PREFIX as PREFIX_OF_SETS
from flagrank.rerank.answers import FORMS
from flagrank.rerank.messages import read_task
from flagrank.rerank.warming import CALL_BUDGET_MS, WRITING_S
from flagrank.rerank.worker import messages_of
from flagrank.serving.asgi import create_app
from flagrank.settings import PREFIX, JudgingSettings, PublicationSettings, Settings, WorkerSettings
from layer.build import PYTHON
from tests.packaging.stack_template import FUNCTIONS, RESOURCES, ROOT, TEMPLATE
from tests.wiring import Wired


def statements() -> list[dict[str, Any]]:
    """What the functions' roles allow; a statement under a condition counts as it is where the condition holds."""
    roles = [RESOURCES[function["Properties"]["Role"]["GetAtt"].split(".")[0]] for function in FUNCTIONS.values()]
    policies = [policy["PolicyDocument"] for role in roles for policy in role["Properties"]["Policies"]]
    found = [statement for policy in policies for statement in policy["Statement"]]
    return [statement["If"][1] if "If" in statement else statement for statement in found]


def routes() -> dict[str, dict[str, Any]]:
    """The API's operations by route key."""
    paths: dict[str, dict[str, Any]] = RESOURCES["Api"]["Properties"]["DefinitionBody"]["paths"]
    return {f"{method.upper()} {path}": found for path, entry in paths.items() for method, found in entry.items()}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_handler_is_a_function_of_its_folder(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The dotted path that Lambda imports lies under the function's CodeUri, and the tests can import it too."""
    properties = FUNCTIONS[name]["Properties"]
    module, _, attribute = properties["Handler"].rpartition(".")
    file = ROOT / (module.replace(".", "/") + ".py")
    assert file.is_relative_to(ROOT / properties["CodeUri"])
    assert f"def {attribute}(" in file.read_text()


@pytest.mark.parametrize("name", FUNCTIONS)
def test_function_and_layer_are_built_for_the_same_machine(name: str) -> None:
    """One architecture and one runtime, which is also the developers' Python."""
    layer, shared = RESOURCES["SharedLayer"], TEMPLATE["Globals"]["Function"]
    architecture = {"Ref": "Architecture"}
    assert shared["Architectures"] == layer["Properties"]["CompatibleArchitectures"] == [architecture]
    assert layer["Metadata"]["BuildArchitecture"] == architecture
    assert layer["Properties"]["CompatibleRuntimes"] == [shared["Runtime"]] == [f"python{PYTHON}"]
    assert layer["Metadata"]["ContextPath"] == {"Sub": "shared/layer/${Architecture}"}
    assert shared["Runtime"] == "python" + (ROOT / ".python-version").read_text().strip()
    imports_the_package = "flagrank" in (ROOT / FUNCTIONS[name]["Properties"]["CodeUri"] / "app.py").read_text()
    has_the_layer = {"Ref": "SharedLayer"} in FUNCTIONS[name]["Properties"].get("Layers", [])
    assert has_the_layer == imports_the_package


SETTINGS: dict[str, type[JudgingSettings]] = {
    "RecommendFunction": Settings,
    "WarmFunction": WorkerSettings,
    "PublicationFunction": PublicationSettings,
}


@pytest.mark.parametrize("name", SETTINGS)
def test_a_function_is_given_every_setting_and_no_other(name: str) -> None:
    """What its settings read is what the template sets; once deployed, it reads keys from Secrets Manager alone."""
    variables = RESOURCES[name]["Properties"]["Environment"]["Variables"]
    given = {variable for variable in variables if variable.startswith(PREFIX)}
    read = {PREFIX + field.upper() for field in SETTINGS[name].model_fields}
    assert read - given == {"FLAGRANK_OPENAI_KEY", "FLAGRANK_RERANK_KEY"}
    assert given <= read


@pytest.mark.parametrize("name", SETTINGS)
def test_parameter_defaults_are_valid_settings(name: str) -> None:
    """A first deploy with nothing chosen starts."""
    variables = RESOURCES[name]["Properties"]["Environment"]["Variables"]
    parameters = TEMPLATE["Parameters"]
    environment = {}
    for variable, value in variables.items():
        reference = value.get("Ref") if isinstance(value, dict) else None
        written = value if isinstance(value, str) else "resource-name"
        environment[variable] = str(parameters[reference]["Default"]) if reference in parameters else written
    assert SETTINGS[name].from_env(environment).flag_poll_s == 15


def test_the_queue_is_the_worker_s() -> None:
    """Messages stay invisible six times as long as the worker may take, and are kept longer than they are worth."""
    queue, worker = RESOURCES["TaskQueue"]["Properties"], RESOURCES["WarmFunction"]["Properties"]
    assert queue["VisibilityTimeout"] >= 6 * worker["Timeout"]
    assert queue["MessageRetentionPeriod"] > TEMPLATE["Parameters"]["TaskMaxAgeSeconds"]["Default"]
    assert queue["RedrivePolicy"]["deadLetterTargetArn"] == {"GetAtt": "DeadTasks.Arn"}
    assert queue["RedrivePolicy"]["maxReceiveCount"] == MAX_RECEIVES
    assert RESOURCES["DeadTasks"]["Properties"]["MessageRetentionPeriod"] > queue["MessageRetentionPeriod"]
    source = worker["Events"]["Tasks"]["Properties"]
    assert source["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    variables = worker["Environment"]["Variables"]
    assert source["BatchSize"] == WARM_BATCH == int(variables["FLAGRANK_PARALLEL_TASKS"])
    assert worker["Timeout"] == WARM_TIMEOUT_S
    assert TEMPLATE["Parameters"]["WarmConcurrency"]["Default"] == WARM_ENVIRONMENTS
    assert worker["Timeout"] > CALL_BUDGET_MS * 2 / 1000 + WRITING_S


def test_requests_may_send_and_the_worker_may_receive() -> None:
    """Neither may do the other's part, and claims are all that either may delete."""

    def allowed(role: str) -> dict[str, Any]:
        statements = RESOURCES[role]["Properties"]["Policies"][0]["PolicyDocument"]["Statement"]
        return {statement["Sid"]: statement for statement in statements if "Sid" in statement}

    actions = {
        role: {action for entry in allowed(role).values() for action in [*entry["Action"]] if action.startswith("sqs:")}
        | {entry["Action"] for entry in allowed(role).values() if str(entry["Action"]).startswith("sqs:")}
        for role in ("RecommendRole", "WarmRole")
    }
    assert actions == {
        "RecommendRole": {"sqs:SendMessage"},
        "WarmRole": {"sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"},
    }
    for role in actions:
        assert allowed(role)["ReleaseClaims"]["Action"] == "dynamodb:DeleteItem"
    assert "s3:GetObject" not in str(allowed("WarmRole"))


def test_the_worker_s_event_is_a_task_that_it_would_judge() -> None:
    """It is of the wording in force: after a change of the wording, write its version here."""
    (message,) = messages_of(json.loads((ROOT / "infra/events/warm.json").read_text()))
    task = read_task(message.body)
    flag = FlagDocument()
    assert (task.model_id, task.version) == (flag.model_id, FORMS[flag.answer].version)


def test_the_flag_s_schema_is_the_same_in_code_file_and_stack() -> None:
    """AppConfig refuses what the code would refuse, and no sentence of the code's is in it."""
    in_stack = RESOURCES["FlagProfile"]["Properties"]["Validators"][0]["Content"]
    assert json.loads(in_stack) == json_schema()
    assert json.loads((ROOT / "infra/flags/rerank.schema.json").read_text()) == json_schema()
    assert "description" not in json_schema()


def test_generated_text_is_as_the_task_writes_it() -> None:
    """`uv run poe generate` changes nothing; if this fails, run it and commit what it wrote."""
    assert [path.name for path, text in generated(ROOT).items() if path.read_text() != text] == []


def test_the_flag_s_schema_is_one_that_appconfig_takes() -> None:
    """Valid draft-04, with no keyword of a later draft, since an unknown one would be ignored in silence."""
    schema = json_schema()
    jsonschema.Draft4Validator.check_schema(schema)
    known = {"type", "enum", "default", "minimum", "maximum", "minLength", "maxLength", "items", "maxItems", "anyOf"}
    for keywords in schema["properties"].values():
        assert set(keywords) <= known


def test_the_first_flag_treats_nobody() -> None:
    """The document that the README deploys first is valid and off."""
    flag = FlagDocument.model_validate_json((ROOT / "infra/flags/rerank.json").read_bytes())
    assert (flag.enabled, flag.percent) == (False, 0.0)


def test_the_flag_s_document_is_not_in_the_stack() -> None:
    """A deploy of the application cannot undo an operator's flip."""
    documents = [entry for entry in RESOURCES.values() if entry["Type"] == "AWS::AppConfig::HostedConfigurationVersion"]
    assert {"Ref": "FlagProfile"} not in [entry["Properties"]["ConfigurationProfileId"] for entry in documents]
    assert "AWS::AppConfig::Deployment" not in {entry["Type"] for entry in RESOURCES.values()}


def parameters_of(entry: object) -> set[str]:
    """The parameters that a piece of the template refers to."""
    if isinstance(entry, list):
        return {name for part in entry for name in parameters_of(part)}
    if isinstance(entry, dict):
        here = {entry["Ref"]} if isinstance(entry.get("Ref"), str) else set()
        return (here | parameters_of(list(entry.values()))) & set(TEMPLATE["Parameters"])
    return set()


def test_a_changed_parameter_publishes_a_version() -> None:
    """The number in the version's description stands for every parameter that configures the function."""
    function = RESOURCES["RecommendFunction"]["Properties"]
    assert function["VersionDescription"] == {"Sub": "settings ${Settings}"}
    # how traffic moves to a version is nothing that the version does
    configuring = {name: entry for name, entry in function.items() if name != "DeploymentPreference"}
    of_function = parameters_of(configuring) | parameters_of(TEMPLATE["Globals"])
    assert parameters_of(RESOURCES["Settings"]["Properties"]) == of_function


def test_the_role_names_its_actions_and_resources() -> None:
    """Least privilege: no wildcard in an action, none that is a whole resource, and no policy of somebody else's."""
    for function in FUNCTIONS.values():
        assert "Policies" not in function["Properties"]
    assert statements()
    for statement in statements():
        actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
        assert all("*" not in action for action in actions)
        # composite alarms are described to nobody with a narrower scope, and Rerank knows no resource
        assert statement["Resource"] != "*" or actions in (["cloudwatch:DescribeAlarms"], ["bedrock:Rerank"])


@pytest.mark.parametrize("role", ["RecommendRole", "WarmRole"])
def test_what_a_provider_needs_is_allowed_only_where_it_is_configured(role: str) -> None:
    """A stack without them may neither rerank nor read a secret, and each key is one secret's."""
    conditional = {
        statement["If"][1]["Sid"]: (statement["If"][0], statement["If"][1]["Resource"])
        for statement in RESOURCES[role]["Properties"]["Policies"][0]["PolicyDocument"]["Statement"]
        if "If" in statement
    }
    assert conditional["CallRerank"][0] == conditional["AskTheRerankModel"][0] == "HasRerankModel"
    assert conditional["ReadTheOpenAiKey"] == ("HasOpenAiKey", {"Ref": "OpenAiKeySecretArn"})
    assert conditional["ReadTheRerankKey"] == ("HasRerankKey", {"Ref": "RerankKeySecretArn"})
    for parameter in ("OpenAiUrl", "OpenAiKeySecretArn", "RerankModelId", "RerankUrl", "RerankKeySecretArn"):
        assert TEMPLATE["Parameters"][parameter]["Default"] == ""


def test_the_bucket_is_private_and_kept() -> None:
    """Versioned, encrypted, closed to the public, TLS only, and not deleted with the stack."""
    bucket = RESOURCES["FactorsBucket"]
    assert bucket["DeletionPolicy"] == "Retain"
    assert bucket["Properties"]["VersioningConfiguration"] == {"Status": "Enabled"}
    assert all(bucket["Properties"]["PublicAccessBlockConfiguration"].values())
    denied = RESOURCES["FactorsBucketPolicy"]["Properties"]["PolicyDocument"]["Statement"][0]
    assert (denied["Effect"], denied["Condition"]) == ("Deny", {"Bool": {"aws:SecureTransport": "false"}})


def test_a_publication_warms_nobody_unless_it_is_told_to() -> None:
    """Without the parameter there is neither the function nor its rule, nor does the bucket send events."""
    parts = ("PublicationFunction", "PublicationRole", "PublicationLogs")
    assert {RESOURCES[name]["Condition"] for name in parts} == {"WarmsAfterPublication"}
    assert TEMPLATE["Conditions"]["WarmsAfterPublication"] == {"Not": [{"Equals": [{"Ref": "WarmActiveUsers"}, 0]}]}
    assert TEMPLATE["Parameters"]["WarmActiveUsers"]["Default"] == 0
    notified = RESOURCES["FactorsBucket"]["Properties"]["NotificationConfiguration"]["If"]
    assert notified[0] == "WarmsAfterPublication"
    assert notified[1] == {"EventBridgeConfiguration": {"EventBridgeEnabled": True}}


def test_the_rule_waits_for_the_pointer_alone() -> None:
    """The set's other objects come before it, and a job's records are no publication; the example event meets it."""
    pattern = RESOURCES["PublicationFunction"]["Properties"]["Events"]["PointerMoved"]["Properties"]["Pattern"]
    event = json.loads((ROOT / "infra/events/publication.json").read_text())
    assert ([event["source"]], [event["detail-type"]]) == (pattern["source"], pattern["detail-type"])
    assert pattern["detail"]["object"]["key"] == [f"{PREFIX_OF_SETS}/{POINTER}"] == [event["detail"]["object"]["key"]]
    assert pattern["detail"]["bucket"]["name"] == [{"Ref": "FactorsBucket"}]


def test_a_batch_s_role_is_bedrock_s_for_its_own_folder() -> None:
    """Off by default; for jobs of this account alone, and out of reach of the published sets."""
    assert TEMPLATE["Parameters"]["BatchInference"]["Default"] == "false"
    role, operators = RESOURCES["BatchRole"], RESOURCES["BatchOperatorPolicy"]
    assert role["Condition"] == operators["Condition"] == "HasBatch"
    (trust,) = role["Properties"]["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Principal"] == {"Service": "bedrock.amazonaws.com"}
    assert trust["Condition"]["StringEquals"] == {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}
    assert trust["Condition"]["ArnLike"]["aws:SourceArn"]["Sub"].endswith(":model-invocation-job/*")
    statements = {statement["Sid"]: statement for statement in operators["Properties"]["PolicyDocument"]["Statement"]}
    assert statements["HandTheRoleToBedrock"]["Condition"] == {
        "StringEquals": {"iam:PassedToService": "bedrock.amazonaws.com"}
    }
    folder = {"Sub": f"${{FactorsBucket.Arn}}/{BATCH_PREFIX}/*"}
    assert statements["WriteRecordsAndReadAnswers"]["Resource"] == folder
    assert role["Properties"]["Policies"][0]["PolicyDocument"]["Statement"][0]["Resource"] == folder


def test_the_table_is_the_cache_s() -> None:
    """Key, TTL attribute and billing are those that the adapter relies on."""
    table = RESOURCES["ScoresTable"]["Properties"]
    assert table["KeySchema"] == [{"AttributeName": "pk", "KeyType": "HASH"}]
    assert table["TimeToLiveSpecification"] == {"AttributeName": "expires_at", "Enabled": True}
    assert table["BillingMode"] == "PAY_PER_REQUEST"


def test_every_route_reaches_the_live_alias() -> None:
    """The API calls the alias, never the unpublished code, and in the payload format that the handler knows."""
    alias = FUNCTIONS["RecommendFunction"]["Properties"]["AutoPublishAlias"]
    for operation in routes().values():
        integration = operation["x-amazon-apigateway-integration"]
        assert integration["uri"]["Sub"].endswith(f"/functions/${{RecommendFunction.Arn}}:{alias}/invocations")
        assert integration["payloadFormatVersion"] == "2.0"


def test_the_authorizer_guards_recommendations_and_nothing_else() -> None:
    """With a JWT issuer given, what tells of users or items takes a token; health and documentation stay open."""
    guarded = {key for key, operation in routes().items() if "security" in operation}
    assert guarded == {"GET /recommend", "POST /recommend", "GET /similar"}


def test_every_route_of_the_application_is_one_of_the_stack() -> None:
    """What the gateway does not know answers 404 in AWS alone."""
    documented = create_app(Wired().service).openapi()["paths"]
    served = {f"{method.upper()} {path}" for path, operations in documented.items() for method in operations}
    assert routes().keys() == served | {"GET /docs", "GET /openapi.json"}


def test_every_parameter_says_what_it_is() -> None:
    """An operator needs no source to fill in the parameters, and each one is used."""
    text = (ROOT / "template.yaml").read_text()
    for name, parameter in TEMPLATE["Parameters"].items():
        assert parameter["Description"]
        assert f"!Ref {name}" in text or f"${{{name}}}" in text


def test_every_event_is_valid_json_with_a_behaviour_of_its_own() -> None:
    """HTTP API events of version 2.0 for `sam local invoke`, and one of each other kind."""
    events = {path.stem: json.loads(path.read_text()) for path in (ROOT / "infra/events").glob("*.json")}
    bare = events.pop("bare")
    assert bare == {"user_id": 123, "top_k": 5}
    assert events.pop("alarm")["source"] == "aws.cloudwatch"
    assert events.pop("warm")["Records"]
    assert events.pop("publication")["source"] == "aws.s3"
    assert all(event["version"] == "2.0" and event["routeKey"] in routes() for event in events.values())
    assert len({json.dumps(event) for event in events.values()}) == len(events)


def test_the_module_under_the_handler_imports() -> None:
    """What the handler builds on is importable without AWS."""
    assert callable(importlib.import_module("flagrank.bootstrap").build_service)
