"""The examples of `infra/clients.md`, each run against the API on loopback."""

import json
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn

from flagrank.serving.asgi import create_app
from tests.wiring import Wired

PAGE = Path(__file__).parents[3] / "infra/clients.md"
EXAMPLES = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
COMMANDS = {"sh": ["bash", "-c"], "python": [sys.executable, "-c"], "js": ["node", "--input-type=module", "-e"]}


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """The API on a free port."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(create_app(Wired().service), log_level="error", lifespan="off"))
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        deadline_s = time.monotonic() + 30
        while not server.started and time.monotonic() < deadline_s:
            time.sleep(0.02)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        server.should_exit = True
        thread.join(30)


def test_the_page_has_an_example_of_each_kind() -> None:
    """Of curl two, since a body is where it goes wrong."""
    assert [language for language, _ in EXAMPLES] == ["sh", "sh", "python", "js"]


@pytest.mark.parametrize(
    ("language", "code"), EXAMPLES, ids=[f"{number} {kind}" for number, (kind, _) in enumerate(EXAMPLES)]
)
def test_an_example_gets_an_answer(address: str, language: str, code: str) -> None:
    """As it stands, but for the port."""
    command = COMMANDS[language]
    if shutil.which(command[0]) is None or (language == "sh" and shutil.which("curl") is None):
        pytest.skip(f"needs {command[0]}")
    told = [*command, code.replace("http://127.0.0.1:8080", address)]
    done = subprocess.run(told, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["top_items"]
