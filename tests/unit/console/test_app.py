"""The console's pages and what guards them, over a flag in memory."""

import asyncio
import re
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from flagrank.adapters.control.in_memory import InMemoryControl
from flagrank.adapters.control.in_memory_lease import InMemoryLeases
from flagrank.adapters.in_memory import ManualClock
from flagrank.cli.console_dashboard import dashboard_body
from flagrank.console.access import LoopbackOnly
from flagrank.console.actions import Operator
from flagrank.console.app import Answers, create_app
from flagrank.console.pages import Site
from flagrank.console.preview import Previewed
from flagrank.console.state import Ports, Reader
from flagrank.delivery.analysis.counts import ArmCounts, Arms
from flagrank.delivery.analysis.limits import Limits
from flagrank.delivery.change_record import ChangeRecord
from flagrank.delivery.lease import Lease
from flagrank.errors import CloudError, InvalidRequest
from flagrank.flags.document import FlagDocument

HOST = "127.0.0.1:4711"
TOKEN = "a-token"
OPERATOR = Operator("day-shift", "this-console", "laptop", 1)


@dataclass
class World:
    """A flag at 25 % of a ramp by a colleague, with figures that fail, hold or pass."""

    clock: ManualClock = field(default_factory=ManualClock)
    figures: Arms = field(default_factory=Arms)
    down: bool = False
    previewed: list[tuple[str, str]] = field(default_factory=list)
    document: FlagDocument | None = field(default_factory=lambda: FlagDocument(enabled=True, percent=5))

    def __post_init__(self) -> None:
        self.control = InMemoryControl(self.clock, self.document)
        self.leases = InMemoryLeases(self.clock)
        if self.document is not None:
            record = ChangeRecord("night-shift", "ramp 25 %", "a <b>new</b> model", ramp="5,25,100")
            self.control.deploy(self.document.model_copy(update={"percent": 25}), record)
        self.clock.advance(100)

    def read(self, since_s: float, until_s: float) -> Arms:
        if self.down:
            raise CloudError("no answer")
        return self.figures

    def ports(self) -> Ports:
        return Ports(self.control, self, lambda: self.leases, lambda: None, self.clock, 15.0)

    def app(self, every_s: float = 2.0) -> Starlette:
        """The console, which reads at each request."""
        site, ports = Site(TOKEN, "local", every_s, 15.0), self.ports()
        return create_app(site, Reader(ports, Limits(), 0.0), ports, OPERATOR, Answers(self.preview, self.dashboard))

    def preview(self, user_id: str, query: str) -> Previewed:
        """The same four items in both arms, in another order; nobody knows the user `nobody`."""
        if user_id == "nobody":
            raise InvalidRequest("user_id", "is not known")
        self.previewed.append((user_id, query))
        return Previewed(answer("control", 1, 2, 3, 4), answer("treatment", 3, 1, 2, 5))

    def dashboard(self, since_s: float) -> tuple[str, dict[str, Any]]:
        """The template's own dashboard, with a minute of both arms."""
        if self.down:
            raise CloudError("CloudWatch has it: https://example.com/")
        now_s = int(self.clock.now()) // 10 * 10
        rows = [series_row(now_s - ago, arm) for ago in range(10, 70, 10) for arm in ("treatment", "control")]
        return dashboard_body(), {"step_s": 10, "rows": rows}

    def get(self, path: str, **headers: str) -> httpx.Response:
        return self.request("GET", path, headers=headers)

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        app = LoopbackOnly(self.app(), TOKEN, {HOST})

        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(transport=transport, base_url=f"http://{HOST}") as client:
                return await client.request(method, path, **options)

        return asyncio.run(ask())

    def page(self, path: str = "") -> str:
        answer = self.get(f"/{TOKEN}/{path}")
        assert answer.status_code == 200
        return answer.text


FAILING = Arms(
    ArmCounts(requests=1000, users=300, attempted=1000, fallbacks=800, malformed=710),
    ArmCounts(requests=3000, users=900),
)
HOLDING = Arms(ArmCounts(requests=300, users=100, attempted=300), ArmCounts(requests=900, users=300))


def series_row(at_s: int, arm: str) -> dict[str, Any]:
    """Ten seconds of an arm: 30 treated requests of 120, and a third of the calls malformed."""
    sums = {"Requests": 30 if arm == "treatment" else 90, "LLMCalls": 60, "ParseFailure": 20}
    times = {"RecommendLatency": 480.0 if arm == "treatment" else 40.0}
    return {"at_s": at_s, "service": "recommend", "arm": arm, "Sum": sums, "Average": {}, "p95": times, "p99": times}


def answer(arm: str, *items: int) -> dict[str, Any]:
    """The body of an explained answer."""
    is_treated = arm == "treatment"
    diagnostics = {
        "user": "known",
        "elapsed_ms": {"total": 12.3},
        "llm_calls": 2 * is_treated,
        "cache_hits": 0,
        "cost_usd": 0.000123 * is_treated,
    }
    explained = [
        {
            "item_id": item,
            "title": f"Item <{item}>",
            "category": "shoes",
            "sources": ["als", "lexical"],
            "baseline_rank": item,
            "baseline_score": 1.0 / item,
            "llm_score": 0.75 if is_treated else None,
            "student_score": None,
            "final_score": 0.5,
        }
        for item in items
    ]
    return {
        "mode": "hybrid_rerank" if is_treated else "baseline",
        "reason": "split" if is_treated else "disabled",
        "versions": {"model": "nova" if is_treated else None},
        "items": explained,
        "diagnostics": diagnostics,
    }


@pytest.fixture
def world() -> World:
    return World()


def words(page: str) -> str:
    """What a page says, without its marks."""
    return " ".join(re.sub(r"<[^>]+>", " ", page).split())


def test_the_page_shows_the_ladder_and_who_changed_what(world: World) -> None:
    """The step in force is marked; what people wrote is text, never markup."""
    page = world.page()
    assert re.search(r'aria-current="step">25 %', page)
    assert words(page).index("5 % passed") < words(page).index("25 % in force") < words(page).index("100 % to come")
    assert "night-shift" in page
    assert "&lt;b&gt;new&lt;/b&gt;" in page
    assert "<b>new" not in page


def test_the_page_shows_each_limit_and_why_one_fails(world: World) -> None:
    """A bar and a sentence each, and the causes that were counted."""
    world.figures = FAILING
    page = world.page()
    assert 'class="truth"' in page
    assert "Beyond a limit: fallbacks, malformed" in words(page)
    assert "Why: fallbacks 80.0 %: malformed 71.0 %" in words(page)
    assert "fallbacks, in all" in words(page)


def test_what_has_no_data_has_no_figure(world: World) -> None:
    """Not zero percent of nothing."""
    assert "No data yet" in words(world.page())
    world.figures = Arms(ArmCounts(requests=50, users=20), ArmCounts(requests=150, users=60))
    assert re.search(r"fallbacks</th><td>-</td><td>-</td>", world.page())


def test_a_hold_says_how_long_it_takes(world: World) -> None:
    """In requests, and in time at the rate so far."""
    world.figures = HOLDING
    assert re.search(
        r"No verdict yet: about \d+ more treated requests, [\d.]+ (min|s|h) at this rate", words(world.page())
    )


def test_a_ramp_at_work_is_named(world: World) -> None:
    """Whose it is, and where it runs."""
    world.leases.take(Lease("theirs", "night-shift", "5,25,50", "laptop", 7, int(world.clock.now()) + 60))
    page = words(world.page())
    assert "night-shift's ramp 5,25,50 is at work (process 7 on laptop" in page.replace("&#39;", "'")
    assert "50 % to come" in page


@pytest.mark.parametrize(
    ("document", "said"),
    [
        (None, "nothing is deployed"),
        (FlagDocument(enabled=False, percent=5), "off (25 % once it is on)"),
        (FlagDocument(enabled=True, percent=5, mode="shadow"), "The mode is shadow"),
    ],
)
def test_every_state_of_the_flag_has_its_words(document: FlagDocument | None, said: str) -> None:
    """Also one in which there is nothing to see."""
    assert said in words(World(document=document).page())


def test_what_cannot_be_read_is_said_and_the_rest_shown(world: World) -> None:
    """An outage of the figures hides no history."""
    world.down = True
    page = words(world.page())
    assert "there are no figures now: no answer" in page
    assert "night-shift" in page

    def no_answer() -> None:
        raise CloudError("no answer")

    world.control.deployed = no_answer  # type: ignore[assignment, method-assign]
    assert "the flag cannot be read now: no answer" in words(world.page())


def test_the_live_part_is_a_part_of_the_page(world: World) -> None:
    """The script replaces one by the other."""
    assert world.page("live").strip() in world.page()


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        (f"/{TOKEN}/", {}, 200),
        ("/", {}, 404),
        ("/another-token/", {}, 404),
        (f"/{TOKEN}/static/console.js", {}, 200),
        (f"/{TOKEN}/static/../app.py", {}, 404),
        (f"/{TOKEN}/", {"host": "evil.example"}, 421),
        (f"/{TOKEN}/", {"host": "127.0.0.1"}, 421),
        (f"/{TOKEN}/", {"origin": "http://evil.example"}, 403),
        (f"/{TOKEN}/", {"origin": "null"}, 403),
        (f"/{TOKEN}/", {"sec-fetch-site": "cross-site"}, 403),
        (f"/{TOKEN}/", {"origin": f"http://{HOST}"}, 200),
    ],
)
def test_only_whoever_has_the_address_is_answered(
    world: World, path: str, headers: dict[str, str], status: int
) -> None:
    """Neither another name for this machine, nor another site's page, nor somebody without the token."""
    answer = world.get(path, **headers)
    assert answer.status_code == status
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]


def test_nothing_comes_from_elsewhere_and_nothing_runs_inline(world: World) -> None:
    """No address but the console's own, no handler in an attribute, no style in the markup."""
    world.figures = FAILING
    page = world.page()
    assert not re.findall(r"https?://", page)
    assert not re.findall(r"<script>|<style|\son\w+=|\sstyle=", page)
