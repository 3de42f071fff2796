"""What an operator changes on the console: first told, then done."""

import html
import re

import httpx
import pytest

from flagrank.delivery.change_record import ChangeRecord
from flagrank.delivery.lease import Lease
from flagrank.errors import CloudError
from flagrank.flags.document import FlagDocument
from tests.unit.console.test_app import HOST, TOKEN, World, words

ORIGIN = {"origin": f"http://{HOST}"}


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def at_work(world: World) -> Lease:
    """A colleague's ramp."""
    lease = Lease("theirs", "night-shift", "5,25,50,100", "laptop", 7, int(world.clock.now()) + 60)
    world.leases.take(lease)
    return lease


def asked(world: World, action: str, query: str = "") -> tuple[int, str]:
    answer = world.get(f"/{TOKEN}/change/{action}{query}")
    return answer.status_code, html.unescape(words(answer.text))


def confirmed(world: World, action: str, query: str = "", reason: str = "") -> httpx.Response:
    """The answer to the button of the page that says what will happen."""
    page = world.get(f"/{TOKEN}/change/{action}{query}").text
    fields = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', page))
    return send(world, action, {**fields, "reason": reason})


def send(world: World, action: str, fields: dict[str, str]) -> httpx.Response:
    return world.request("POST", f"/{TOKEN}/change/{action}", data=fields, headers=ORIGIN)


def in_force(world: World) -> FlagDocument:
    document = world.control.deployed().document
    assert document is not None
    return document


def test_a_percentage_is_confirmed_and_recorded(world: World) -> None:
    """The page says who is treated then; the record who did it and why."""
    status, said = asked(world, "percent", "?percent=50")
    assert status == 200
    assert "25 % → 50 %: more users are treated" in said
    assert "within 15 s" in said
    assert in_force(world).percent == 25
    answer = confirmed(world, "percent", "?percent=50", "looks\n good")
    assert answer.status_code == 200
    assert in_force(world).percent == 50
    assert world.control.history(1)[0].record.render() == "day-shift: percent 50 (looks good)"


def test_the_kill_switch_gives_everyone_the_baseline(world: World) -> None:
    """Also if the flag changed since the page was shown."""
    assert "25 % → off: fewer users" in asked(world, "off")[1]
    world.control.deploy(in_force(world).model_copy(update={"percent": 30}), ChangeRecord("me", "percent 30"))
    assert send(world, "off", {"deployment": "1", "reason": "bad"}).status_code == 200
    assert not in_force(world).enabled
    assert world.control.history(1)[0].record.render() == "day-shift: off (bad)"


def test_a_rollback_names_what_comes_back(world: World) -> None:
    """The last good version, with its record."""
    assert "v1 comes back: test: first document" in asked(world, "rollback")[1]
    assert confirmed(world, "rollback").status_code == 200
    assert in_force(world).percent == 5


def test_a_promotion_says_that_nothing_judges_the_step(world: World) -> None:
    """The next step of the ramp's ladder is served."""
    assert "promote to 100 %" in asked(world, "promote")[1].lower()
    assert "Nothing judges the step in force first" in asked(world, "promote")[1]
    assert confirmed(world, "promote").status_code == 200
    assert in_force(world).percent == 100
    assert "no step above" in asked(world, "promote")[1]


def test_a_pause_ends_the_ramp_and_deploys_nothing(world: World, at_work: Lease) -> None:
    """The ramp finds another holder when it renews its lease."""
    assert "night-shift's ramp ends when it observes next; 25 % stays in force" in asked(world, "pause")[1]
    assert confirmed(world, "pause").status_code == 200
    other = world.leases.take(at_work)
    assert other is not None
    assert other.actor == "day-shift"
    assert len(world.control.history(9)) == 2
    assert asked(world, "pause")[0] == 409


@pytest.mark.parametrize("action", ["percent?percent=1", "promote", "rollback", "off"])
def test_every_change_says_whose_ramp_it_ends(world: World, at_work: Lease, action: str) -> None:
    """Whoever confirms it knows."""
    assert "night-shift's ramp 5,25,50,100 ends" in asked(world, action)[1]


def test_a_page_that_was_overtaken_changes_nothing(world: World) -> None:
    """What was confirmed is what was shown."""
    page = world.get(f"/{TOKEN}/change/percent?percent=50").text
    number = re.findall(r'name="deployment" value="(\d+)"', page)[0]
    world.control.deploy(in_force(world).model_copy(update={"percent": 2}), ChangeRecord("me", "percent 2"))
    answer = send(world, "percent", {"deployment": number, "percent": "50"})
    assert (answer.status_code, "somebody changed the flag since" in answer.text) == (409, True)
    assert in_force(world).percent == 2


@pytest.mark.parametrize(
    ("action", "why"),
    [
        ("percent?percent=25", "already so"),
        ("percent?percent=101", "not a percentage"),
        ("percent?percent=1e999", "not a percentage"),
        ("percent?percent=nan", "not a percentage"),
        ("percent?percent=1.234", "two decimals"),
        ("percent", "say a percentage"),
        ("pause", "no ramp is at work"),
        ("launch", "no action 'launch'"),
    ],
)
def test_what_cannot_be_done_is_told_before_it_is_confirmed(world: World, action: str, why: str) -> None:
    """In one sentence."""
    status, said = asked(world, action)
    assert (status, why in said) == (409, True)


@pytest.mark.parametrize("headers", [{}, {"origin": "http://evil.example"}, {"origin": "null"}])
def test_another_site_s_page_changes_nothing(world: World, headers: dict[str, str]) -> None:
    """A change names its origin, and that is the console."""
    fields = {"deployment": "2", "reason": ""}
    assert world.request("POST", f"/{TOKEN}/change/off", data=fields, headers=headers).status_code == 403
    assert in_force(world).enabled


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_to_look_changes_nothing(world: World, method: str) -> None:
    """Whatever the query says."""
    world.request(method, f"/{TOKEN}/change/off?deployment=2&reason=x")
    assert in_force(world).enabled


def test_an_outage_is_told(world: World) -> None:
    """The flag may be as it was, and repeating the change is safe."""

    def no_answer(*_: object, **__: object) -> None:
        raise CloudError("no answer")

    world.control.deploy = no_answer  # type: ignore[assignment, method-assign]
    answer = confirmed(world, "off")
    assert (answer.status_code, "no answer" in answer.text) == (409, True)
