"""The page of concepts names what is there."""

import re

from tests.packaging.test_dependencies import CONTROL, LEARNING, PACKAGE, SERVING
from tests.packaging.test_repository import ROOT

CONCEPTS = (ROOT / "infra/concepts.md").read_text()
ROWS = re.findall(r"^\| ([\w -]+) \| (.+) \| `([\w.]+)` \|$", CONCEPTS, re.MULTILINE)


def test_the_glossary_has_twenty_words_each_with_its_module() -> None:
    """No word is there twice, and each module exists."""
    assert len({word for word, _, _ in ROWS}) == len(ROWS) == 20
    assert [module for _, _, module in ROWS if not (PACKAGE / f"{module.replace('.', '/')}.py").is_file()] == []


def test_the_picture_names_every_package_of_the_three_wings() -> None:
    """A package that is added to a wing is added to the page."""
    named = set(re.findall(r"`([\w.]+)`", CONCEPTS.partition("## Twenty words")[0]))
    assert (SERVING | CONTROL | LEARNING) - {"offline"} <= named
