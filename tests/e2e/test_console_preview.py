"""The preview over a local cloud's factors, cache and LLM."""

import pytest

from flagrank.cli.console_preview import ServicePreview
from flagrank.cli.target import Target
from flagrank.local.cloud import LOCAL_FLAG
from tests.e2e.conftest import StartCloud

pytestmark = pytest.mark.slow


def test_both_arms_are_answered_whatever_the_flag_says(
    start_cloud: StartCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also while it is off, and nothing is counted of it."""
    flag = LOCAL_FLAG.model_copy(update={"enabled": False})
    cloud = start_cloud(flag, behaviour={"malformed": 0.0}, environments=1)
    for name, value in cloud.variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(Target, "variables", lambda self: cloud.variables)
    preview = ServicePreview(Target(local=int(cloud.url.rpartition(":")[2])), cloud.flag_control())
    seen = preview("123", "headset")
    assert (seen.control["arm"], seen.treatment["arm"]) == ("control", "treatment")
    assert seen.treatment["mode"] == "hybrid_rerank"
    assert seen.treatment["diagnostics"]["llm_calls"] > 0
    assert len(seen.control["items"]) == len(seen.treatment["items"]) == 10
    assert cloud.observed.read(0, 1e12).treatment.requests == 0
