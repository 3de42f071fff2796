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
