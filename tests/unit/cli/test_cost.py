"""`flagrank cost` as a user meets it."""

import json
import math
import sys
from collections.abc import Callable
from typing import Any

import pytest

from flagrank.cli.app import main

type Cost = Callable[..., tuple[int, str, str]]


@pytest.fixture
def cost(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cost:
    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["flagrank", "cost", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        return int(ended.value.code or 0), captured.out, captured.err

    return run


def document(cost: Cost, *arguments: str) -> dict[str, Any]:
    code, out, _ = cost(*arguments, "--json")
    assert code == 0
    found: dict[str, Any] = json.loads(out)
    return found


def test_the_table_names_region_date_and_every_service(cost: Cost) -> None:
    """Whoever reads it knows what the figures stand on."""
    code, out, _ = cost("--rps", "100", "--treated", "25", "--hit-rate", ".6")
    assert code == 0
    assert "us-east-1, prices of 2026-" in out
    for service in ("Lambda", "API Gateway", "DynamoDB", "S3", "SQS", "AppConfig", "CloudWatch", "Bedrock"):
        assert f"\n{service} " in out


def test_the_document_adds_up(cost: Cost) -> None:
    """The lines are the month's sum, and the same figures are there by path and by model."""
    found = document(cost)
    assert math.isclose(sum(line["usd"] for line in found["lines"]), found["usd_per_month"])
    assert set(found["by_path"]) == {"inline", "async", "student", "precomputed"}
    assert found["by_path"]["async"]["usd_per_month"] == found["usd_per_month"]
    assert found["by_model"]["amazon.nova-lite-v1:0"]["usd_per_month"] == found["usd_per_month"]


def test_x86_64_costs_more_than_arm64(cost: Cost) -> None:
    """For the same durations."""
    assert (
        document(cost, "--architecture", "x86_64")["usd_per_month"]
        > document(cost, "--architecture", "arm64")["usd_per_month"]
    )


def test_a_model_without_a_price_is_refused(cost: Cost) -> None:
    """With the models that have one."""
    code, _, err = cost("--model", "nobody.has-this")
    assert code == 2
    assert "amazon.nova-lite-v1:0" in err
