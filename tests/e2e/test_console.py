"""The console in a browser, and the command that serves it."""

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import uvicorn

from flagrank.console.access import LoopbackOnly
from flagrank.local.serve import HOST, bound_listener
from tests.e2e.chromium import PROGRAM, Chromium
from tests.e2e.conftest import COMMAND, StartCloud
from tests.unit.console.test_app import FAILING, HOLDING, TOKEN, World

pytestmark = pytest.mark.slow
in_a_browser = pytest.mark.skipif(PROGRAM is None, reason="needs Chromium: apt-get install chromium")
# where axe-core's axe.min.js is; it is not part of the repository
AXE = os.environ.get("AXE_JS")
# what a browser can tell by itself: names, labels, one heading of the first level, and ids that are unique
FLAWS = """(() => {
  const named = (node) => (node.innerText || node.getAttribute("aria-label") || node.title || "").trim();
  const flaws = [];
  for (const node of document.querySelectorAll("a[href], button")) if (!named(node)) flaws.push(node.outerHTML);
  for (const node of document.querySelectorAll("input:not([type=hidden]), select, textarea"))
    if (!node.labels.length) flaws.push(node.outerHTML);
  if (document.querySelectorAll("h1").length !== 1) flaws.push("h1");
  if (!document.documentElement.lang || !document.title || !document.querySelector("main")) flaws.push("page");
  const ids = [...document.querySelectorAll("[id]")].map((node) => node.id);
  if (new Set(ids).size !== ids.length) flaws.push("ids");
  for (const node of document.querySelectorAll("[aria-labelledby]"))
    if (!document.getElementById(node.getAttribute("aria-labelledby"))) flaws.push(node.outerHTML);
  return flaws;
})()"""


@contextmanager
def console(world: World) -> Iterator[str]:
    """The console of a made-up flag on loopback; its address."""
    listener = bound_listener(HOST, 0)
    host = f"{HOST}:{listener.getsockname()[1]}"
    app = LoopbackOnly(world.app(every_s=0.2), TOKEN, {host})
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off"))
    listener.listen(64)
    thread = threading.Thread(target=lambda: server.run(sockets=[listener]), daemon=True)
    thread.start()
    try:
        yield f"http://{host}/{TOKEN}/"
    finally:
        server.should_exit = True
        thread.join(20)


@pytest.fixture
def world() -> World:
    return World(figures=HOLDING)


@pytest.fixture
def address(world: World) -> Iterator[str]:
    with console(world) as url:
        yield url


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Chromium]:
    with Chromium(tmp_path / "profile") as started:
        yield started
    shutil.rmtree(tmp_path / "profile", ignore_errors=True)


def flaws(browser: Chromium) -> list[str]:
    """What keeps somebody from using the page, by our own checks and axe's where it is there."""
    found: list[str] = browser.evaluate(FLAWS)
    if AXE:
        browser.evaluate(Path(AXE).read_text() + ";0")
        found += browser.evaluate("axe.run().then((told) => told.violations.map((entry) => entry.id))")
    return found


@in_a_browser
def test_the_page_keeps_itself_fresh(world: World, address: str, browser: Chromium) -> None:
    """A limit that is crossed shows without a click, and so does a console that is gone."""
    with console(world) as url:
        browser.open(url)
        assert "No verdict yet" in browser.text()
        world.figures = FAILING
        browser.until("document.body.innerText.includes('Why: fallbacks 80.0 %')")
    browser.until("document.body.innerText.includes('The console does not answer')")


@in_a_browser
@pytest.mark.parametrize("page", ["", "change/percent?percent=50", "preview?user_id=7&query=red+shoe", "dashboard"])
@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("dark", [False, True])
def test_everybody_can_read_it(address: str, browser: Chromium, page: str, width: int, dark: bool) -> None:
    """On a narrow screen nothing is cut at the side, in light and in dark; everything has a name."""
    browser.resize(width, 900, dark=dark)
    browser.open(address + page)
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    assert flaws(browser) == []
    background = browser.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (background == "rgb(20, 23, 28)") == dark


@in_a_browser
def test_the_flag_is_switched_off_by_keyboard_alone(world: World, address: str, browser: Chromium) -> None:
    """Tab finds the kill switch, Enter asks, and the page says what will happen before a second Enter does it."""
    browser.open(address)
    tab_to(browser, "Switch off")
    browser.press("Enter")
    browser.until("document.body.innerText.includes('What will happen')")
    assert "25 % → off: fewer users are treated" in browser.text()
    assert flaws(browser) == []
    tab_to(browser, "", "reason")
    browser.type("by keyboard")
    browser.press("Enter")
    browser.until("document.body.innerText.includes('is deployed; every environment has it')")
    assert world.control.history(1)[0].record.render() == "day-shift: off (by keyboard)"
    tab_to(browser, "Back to the rollout")
    browser.press("Enter")
    browser.until("document.body.innerText.includes('off (25 % once it is on)')")


@in_a_browser
def test_a_click_asks_and_a_second_one_does(world: World, address: str, browser: Chromium) -> None:
    """A percentage is typed, told, and set; who says no has changed nothing."""
    browser.open(address)
    browser.evaluate("document.querySelector('#percent').focus()")
    browser.type("50")
    browser.evaluate("document.querySelector('form button').click()")
    browser.until("document.body.innerText.includes('25 % → 50 %: more users are treated')")
    browser.evaluate("[...document.querySelectorAll('a')].find((link) => link.innerText === 'No, back').click()")
    browser.until("location.pathname.endsWith('/a-token/')")
    assert len(world.control.history(9)) == 2
    browser.open(address + "change/percent?percent=50")
    browser.evaluate("document.querySelector('form button').click()")
    browser.until("document.body.innerText.includes('is deployed')")
    assert world.control.history(1)[0].record.change == "percent 50"


def tab_to(browser: Chromium, words: str, element_id: str = "") -> None:
    """Presses Tab until something with these words, or this id, has the focus and shows that it has."""
    for _ in range(40):
        browser.press("Tab")
        focused = browser.evaluate("[document.activeElement.innerText, document.activeElement.id]")
        if words in (focused[0] or "") if words else focused[1] == element_id:
            outline = browser.evaluate("getComputedStyle(document.activeElement).outlineStyle")
            assert outline == "solid"
            return
    raise AssertionError(f"Tab never reaches {words or element_id}")


def test_the_command_serves_it_until_ctrl_c(start_cloud: StartCloud) -> None:
    """One line with the address; whoever does not know the token finds nothing."""
    cloud = start_cloud(environments=1)
    port = cloud.url.rpartition(":")[2]
    command = [sys.executable, "-c", COMMAND, "console", "--local", port]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            ready, address = process.stdout.readline().split()
            assert ready == "ready"
            page = httpx.get(address, trust_env=False, timeout=30)
            assert (page.status_code, "100 % of the users are treated" in page.text) == (200, True)
            assert httpx.get(address.rpartition("/")[0][:-3] + "/", trust_env=False).status_code == 404
            process.send_signal(signal.SIGINT)
            assert process.wait(20) == 0
        finally:
            process.kill()
