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
@pytest.mark.parametrize("page", [""])
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
