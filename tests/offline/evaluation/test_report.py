"""The HTML report, made from the JSON report alone."""

import re
from typing import Any

import pytest

from flagrank.offline.evaluation.evaluate import evaluate
from flagrank.offline.evaluation.report import page
from tests.offline.datasets import shop
from tests.offline.evaluation.test_evaluate import SMALL


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return evaluate(shop(("audio",)), SMALL, "none", quick=False, progress=lambda *_: None)


def test_the_page_needs_nothing_else(document: dict[str, Any]) -> None:
    """No script, style sheet, image or font from anywhere: links are names of namespaces and of parts of the page."""
    made = page(document)
    assert not re.search(r"<(script|link|img|iframe)\b", made)
    assert not re.search(r'(?:src|href)="(?!#)', made)


def test_every_figure_of_the_report_has_its_plot(document: dict[str, Any]) -> None:
    """Curve, activity, ablation, alpha, calibration, diversity, new users, gate."""
    assert page(document).count("<svg") == 8


def test_the_same_report_gives_the_same_page(document: dict[str, Any]) -> None:
    """Byte for byte, so that two can be compared."""
    assert page(document) == page(document)


def test_a_quick_report_has_a_page_too(document: dict[str, Any]) -> None:
    """What was not measured is left out."""
    quick = {
        name: value
        for name, value in document.items()
        if name not in ("ablation", "llm", "fold_in", "new_items", "diversity", "queries", "gate")
    }
    assert page(quick).count("<svg") == 2


def test_a_name_is_text_and_not_markup(document: dict[str, Any]) -> None:
    """A dataset may be called anything."""
    assert "<b>data</b>" not in page({**document, "dataset": "<b>data</b>"})
