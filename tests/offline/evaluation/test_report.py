"""Everything that `evaluate` reports, as JSON, and the HTML page that is made from it."""

import re
from functools import partial
from typing import Any

import numpy as np
import orjson
import pytest

from flagrank.cli.evaluation_text import parts
from flagrank.offline.evaluation import evaluate as evaluation
from flagrank.offline.evaluation.query_ranking import make_requests
from flagrank.offline.evaluation.report import page
from flagrank.offline.evaluation.report_sentences import sentences
from flagrank.offline.metrics.held_out_users import CUTOFFS
from flagrank.offline.training.progress import silent
from tests.offline.datasets import QUICK, shop
from tests.offline.evaluation.test_evaluate import SMALL

METRICS = {f"{metric}@{k}" for metric in ("recall", "ndcg") for k in CUTOFFS}


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    """The report of a small shop, with fewer queries than the command asks."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(evaluation, "make_requests", partial(make_requests, count=60))
        patched.setattr(evaluation, "QUERIES_OF_A_KIND", 60)
        return evaluation.evaluate(shop(("audio",)), SMALL, "none", quick=False, progress=silent)


@pytest.fixture(scope="module")
def made(document: dict[str, Any]) -> str:
    """The report's page."""
    return page(document)


def test_the_report_is_json_with_all_that_it_takes_to_repeat_it(document: dict[str, Any]) -> None:
    """Dataset, users, parameters, and each metric at each cut-off for both stages and their difference."""
    read = orjson.loads(orjson.dumps(document))
    assert read["parameters"]["als"] == QUICK.recorded()
    for name in ("popularity", "stage1", "stage2", "delta", "oracle"):
        assert read[name].keys() == METRICS


def test_a_student_stands_beside_its_teacher(document: dict[str, Any]) -> None:
    """What `distill` would say of it, and its NDCG@10 of each kind of query, with an interval of what it gains."""
    assert document["student"]["words"]["held_out"]["rank_correlation"]["student"]["mean"] > 0.5
    for kind in document["catalogue_queries"].values():
        assert kind["ndcg@10"].keys() == {"baseline", "words", "student of words"}
        assert "ci95" in kind["delta"]["student of words"]["ndcg@10"]


def test_the_oracle_bounds_both_stages(document: dict[str, Any]) -> None:
    """Nobody orders the candidates better than somebody who knows the answers."""
    for metric in METRICS:
        assert document["oracle"][metric] >= max(document["stage1"][metric], document["stage2"][metric])


def test_every_group_of_features_is_ablated(document: dict[str, Any]) -> None:
    """Those that the data fills, and both groups of times together."""
    assert document["ablation"].keys() == {
        "als",
        "popularity",
        "ease",
        "session",
        "recency",
        "category",
        "activity",
        "time",
    }


def test_an_alpha_near_one_moves_less_than_one_of_a_half(document: dict[str, Any]) -> None:
    """The operator's control of how much the LLM may move: users' lists change by more, for better or worse."""
    changes = document["llm"]["words"]["alpha"]
    width = {alpha: np.ptp(found["ndcg@10"]["ci95"]) for alpha, found in changes.items()}
    assert width["0.95"] <= width["0.5"]


def test_relevance_of_one_leaves_diversity_free(document: dict[str, Any]) -> None:
    """The first row of the price list is the list as served, and diversity grows as relevance gives way."""
    rows = document["diversity"]["factors"]
    assert rows[0]["ndcg@10"] == document["stage2"]["ndcg@10"]
    assert rows[-1]["diversity@10"] > rows[0]["diversity@10"]


def test_the_choice_of_a_weight_says_by_what_evidence(document: dict[str, Any]) -> None:
    """For each weight its change and whether it is safe, and the change of each kind for the chosen one."""
    for name, kinds in (("alpha", {"users"}), ("alpha_query", document["catalogue_queries"].keys())):
        found = document["blend"]["words"][name]
        assert found["tried"][f"{found['chosen']:g}"]["safe"]
        assert found["tried"]["1"] == {"mean": 0.0, "ci95": [0.0, 0.0], "safe": True}
        assert found["kinds"].keys() == kinds


def test_the_page_needs_nothing_else(made: str) -> None:
    """No script, style sheet, image or font from anywhere: links are names of namespaces and of parts of the page."""
    assert not re.search(r"<(script|link|img|iframe)\b", made)
    assert not re.search(r'(?:src|href)="(?!#)', made)


def test_every_figure_of_the_report_has_its_plot(made: str) -> None:
    """Curve, activity, ablation, alpha, calibration, diversity, new users, gate."""
    assert made.count("<svg") == 8


def test_the_same_report_gives_the_same_page(document: dict[str, Any], made: str) -> None:
    """Byte for byte, so that two can be compared."""
    assert page(document) == made


def test_a_quick_report_has_a_page_too(document: dict[str, Any]) -> None:
    """What was not measured is left out."""
    quick = {
        name: value
        for name, value in document.items()
        if name not in ("ablation", "llm", "fold_in", "new_items", "diversity", "queries", "gate")
    }
    assert page(quick).count("<svg") == 2


def test_the_page_begins_with_sentences_and_what_it_was_made_of(document: dict[str, Any]) -> None:
    """Is it better, for whom, does the LLM help, what to do; then version, date, data and parameters."""
    made = page({"made": {"Flagrank": "0.1.0", "on": "2026-11-26"}, **document})
    order = ["Is it better?", "For whom?", "Does the LLM help?", "What to do?", "Flagrank 0.1.0; on 2026-11-26; data "]
    places = [made.index(part) for part in [*order, "Parameters", "<h2>Quality", "<h2>Lists before and after"]]
    assert places == sorted(places)


def test_five_users_show_their_lists_before_and_after(document: dict[str, Any], made: str) -> None:
    """From the least to the most active, with what they went on to choose marked."""
    examples = document["examples"]
    assert len(examples) == 5
    assert [found["interactions"] for found in examples] == sorted(found["interactions"] for found in examples)
    assert all(len(found["before"]) == len(found["after"]) == 10 for found in examples)
    hits = sum(entry["hit"] for found in examples for name in ("before", "after") for entry in found[name])
    assert made.count("✓</td>") == hits


def change(low: float, high: float) -> dict[str, Any]:
    """A change with its interval."""
    return {"mean": (low + high) / 2, "ci95": [low, high]}


@pytest.mark.parametrize(
    ("low", "high", "verdict", "advice"),
    [
        (0.01, 0.02, "Yes: Stage 2 orders better", "Publish the set with Stage 2."),
        (-0.02, -0.01, "No: Stage 2 orders worse", "Train with --stage2 none"),
        (-0.01, 0.01, "That cannot be told", "Stage 1 alone is as good as can be told"),
    ],
)
def test_the_sentences_follow_the_intervals(
    document: dict[str, Any], low: float, high: float, verdict: str, advice: str
) -> None:
    """No claim where the interval holds 0."""
    groups = [{"interactions": [20, 40], "users": 9, "ndcg@10": change(low, high)}]
    said = dict(sentences({**document, "delta": {"ndcg@10": change(low, high)}, "gain_by_activity": groups}))
    assert said["Is it better?"].startswith(verdict)
    assert said["What to do?"].startswith(advice)
    assert "20 to 40" in said["For whom?"]


def test_what_the_terminal_prints_is_in_the_page(document: dict[str, Any], made: str) -> None:
    """Each interval that a line there has."""
    terminal = " ".join(part for part in parts(document) if isinstance(part, str))
    intervals = re.findall(r"[+-]\d\.\d{4} \[[^]]+\]", terminal)
    assert intervals
    assert [found for found in intervals if found not in made] == []


def test_a_name_is_text_and_not_markup(document: dict[str, Any]) -> None:
    """A dataset may be called anything."""
    assert "<b>data</b>" not in page({**document, "dataset": "<b>data</b>"})
