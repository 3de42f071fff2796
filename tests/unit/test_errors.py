"""The error tree as it is drawn, and as it is."""

import re

import pytest

from flagrank import errors
from flagrank.domain import Reason


def tree(root: type[Exception]) -> dict[str, str]:
    """Every class below the root, with the name of its parent."""
    below = {child.__name__: root.__name__ for child in root.__subclasses__()}
    for child in root.__subclasses__():
        below |= tree(child)
    return below


def drawn() -> dict[str, tuple[str, str]]:
    """Every class in the drawing, with its parent and what stands beside it."""
    lines = re.findall(r"^( *│? *)[├└]── (\w+) +(.*)$", errors.__doc__ or "", re.MULTILINE)
    return {name: ("RerankError" if indent else "FlagrankError", text) for indent, name, text in lines}


def test_the_drawing_shows_every_class_under_its_parent() -> None:
    """Who reads the drawing knows what can be raised."""
    assert {name: parent for name, (parent, _) in drawn().items()} == tree(errors.FlagrankError)


@pytest.mark.parametrize("leaf", errors.RerankError.__subclasses__(), ids=lambda leaf: leaf.__name__)
def test_every_rerank_error_is_drawn_with_its_own_reason(leaf: type[errors.RerankError]) -> None:
    """No two failures hide under one name."""
    assert drawn()[leaf.__name__][1] == leaf.reason
    assert [other for other in errors.RerankError.__subclasses__() if other.reason is leaf.reason] == [leaf]
    assert leaf.reason in Reason
