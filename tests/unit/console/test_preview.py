"""Both arms' answers to one request, side by side."""

import html

import pytest

from tests.unit.console.test_app import TOKEN, World, words


@pytest.fixture
def world() -> World:
    return World()


def test_both_arms_are_shown_with_every_move(world: World) -> None:
    """In arrows for the eye and in words for whoever hears the page; what control does not show is new."""
    page = html.unescape(words(world.page("preview?user_id=7&query=red+shoe")))
    assert world.previewed == [("7", "red shoe")]
    assert page.index("Control mode") < page.index("Treatment mode")
    assert "↑ 2 2 higher than in control" in page
    assert "↓ 1 1 lower than in control" in page
    assert "new not in control's list" in page
    assert "4 of 4 items are in another place" in page


def test_why_an_item_is_there_and_what_it_cost(world: World) -> None:
    """Score parts, sources, reason and cost of each arm; titles are text."""
    page = world.page("preview?user_id=7")
    assert "baseline 0.333 (place 3), LLM 0.75, final 0.5 · from als, lexical" in words(page)
    assert "0.000123 USD" in page
    assert "hybrid_rerank" in page
    assert "Item &lt;3&gt;" in page


def test_nothing_is_asked_before_a_user_is_given(world: World) -> None:
    """The form alone."""
    assert "Show both arms" in world.page("preview")
    assert world.previewed == []


def test_a_request_that_is_refused_says_why(world: World) -> None:
    """The form keeps what was typed."""
    answer = world.get(f"/{TOKEN}/preview?user_id=nobody&query=red")
    assert answer.status_code == 422
    assert "user_id: is not known" in answer.text
    assert 'value="nobody"' in answer.text
