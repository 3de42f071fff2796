"""The environment's settings."""

import pytest

from flagrank.errors import ConfigurationError
from flagrank.model.filters import parse_filter
from flagrank.settings import Settings, WorkerSettings

REQUIRED = {
    "FLAGRANK_BUCKET": "factors-bucket",
    "FLAGRANK_TABLE": "scores",
    "FLAGRANK_QUEUE_URL": "https://queue.example/tasks",
    "FLAGRANK_APPCONFIG_APPLICATION": "flagrank",
    "FLAGRANK_APPCONFIG_ENVIRONMENT": "production",
    "FLAGRANK_APPCONFIG_PROFILE": "rerank",
}


def test_the_required_settings_are_enough() -> None:
    """Everything else has a default; variables of others are ignored."""
    settings = Settings.from_env({**REQUIRED, "PATH": "/bin", "FLAGRANK_LATENCY": ""})
    assert (settings.bucket, settings.batch_items, settings.latency) == ("factors-bucket", 10, "standard")


def test_documents_in_variables_are_read() -> None:
    """Prices and rules come as JSON."""
    settings = Settings.from_env(
        {
            **REQUIRED,
            "FLAGRANK_PRICES": '{"*": {"input_usd": 1, "output_usd": 2}}',
            "FLAGRANK_RULES": '{"block": [42, "x"], "require": "price<50", "exclude": ["brand=A|B"]}',
        }
    )
    assert settings.prices["*"].output_usd == 2
    assert settings.rules.block == (42, "x")
    assert settings.rules.require == (parse_filter("price<50"),)
    assert settings.rules.exclude == (parse_filter("brand=A|B"),)


def test_a_worker_needs_neither_factors_nor_a_queue() -> None:
    """What it judges comes to it, and the texts come with it."""
    needed = {name: value for name, value in REQUIRED.items() if name not in ("FLAGRANK_BUCKET", "FLAGRANK_QUEUE_URL")}
    assert WorkerSettings.from_env(needed).parallel_tasks == 5


@pytest.mark.parametrize("missing", sorted(REQUIRED))
def test_a_missing_setting_is_named(missing: str) -> None:
    """The error says which variable to set."""
    with pytest.raises(ConfigurationError, match=missing):
        Settings.from_env({name: value for name, value in REQUIRED.items() if name != missing})


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("FLAGRANK_FLAG_POLL_S", "14"),
        ("FLAGRANK_LATENCY", "fast"),
        ("FLAGRANK_PRICES", "{}"),
        ("FLAGRANK_PRICES", "not json"),
        ("FLAGRANK_RULES", '{"mmr_lambda": 2}'),
        ("FLAGRANK_RULES", '{"exclude": "price<"}'),
        ("FLAGRANK_RULES", '{"require": ["price<5|6"]}'),
        ("FLAGRANK_RULES", '{"require": [5]}'),
        ("FLAGRANK_RULES", '{"exclude": {"clauses": []}}'),
        ("FLAGRANK_UNHEARD_OF", "1"),
        ("FLAGRANK_OPENAI_URL", "host/v1"),
        ("FLAGRANK_OPENAI_URL", "ftp://host"),
        ("FLAGRANK_OPENAI_URL", "http://host:port/v1"),
        # in two parts, so that nobody takes it for a password that was committed
        ("FLAGRANK_RERANK_URL", "https://user:" + "pass@host/v1"),
        ("FLAGRANK_RERANK_URL", "https://host/v1?key=x"),
        ("FLAGRANK_RERANK_SCORES", "percent"),
    ],
)
def test_a_bad_setting_is_named(variable: str, value: str) -> None:
    """Out of range, of the wrong kind or unknown: the error names the variable."""
    with pytest.raises(ConfigurationError, match=variable):
        Settings.from_env({**REQUIRED, variable: value})


def test_a_rule_that_cannot_be_parsed_says_where() -> None:
    """At start, and not when the first user asks."""
    with pytest.raises(ConfigurationError, match=r"^FLAGRANK_RULES: .*expected a value at character 7, got the end"):
        Settings.from_env({**REQUIRED, "FLAGRANK_RULES": '{"exclude": "price<"}'})


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080/v1"),
        ("https://host/v1/", "https://host/v1"),
        ("https://bedrock-runtime.eu-west-1.amazonaws.com/openai/v1", None),
    ],
)
def test_a_base_url_is_that_of_openai_s_clients(given: str, read: str | None) -> None:
    """One without a path gets theirs."""
    assert Settings.from_env({**REQUIRED, "FLAGRANK_OPENAI_URL": given}).openai_url == (read or given)


def test_a_rerank_model_needs_one_service_and_a_price_by_the_query() -> None:
    """Counted by tokens it would cost next to nothing, and the daily cap would never hold."""
    bedrock = {"FLAGRANK_RERANK_MODEL_ID": "cohere.rerank-v3-5:0"}
    assert Settings.from_env({**REQUIRED, **bedrock}).prices["rerank:*"].thousand_queries_usd == 2
    with pytest.raises(ConfigurationError, match="choose one"):
        Settings.from_env({**REQUIRED, **bedrock, "FLAGRANK_RERANK_URL": "http://host"})
    with pytest.raises(ConfigurationError, match=r"rerank:\*"):
        Settings.from_env({**REQUIRED, **bedrock, "FLAGRANK_PRICES": '{"*": {"input_usd": 1}}'})


def test_a_key_is_not_shown() -> None:
    """Neither by the settings nor by the error about another one, however it is printed."""
    secret = {"FLAGRANK_OPENAI_KEY": "sk-do-not-show", "FLAGRANK_RERANK_KEY": "sk-do-not-show"}
    assert "sk-do" not in repr(Settings.from_env({**REQUIRED, **secret}))
    with pytest.raises(ConfigurationError) as caught:
        Settings.from_env({**REQUIRED, **secret, "FLAGRANK_LATENCY": "fast", "FLAGRANK_OPENAI_URL": "sk-do-not-show"})
    assert "sk-do" not in str(caught.value) + repr(caught.value.__cause__)
