"""`flagrank local` as a process: what it prints, what it refuses, and that nothing stays behind."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from flagrank.errors import CloudError
from tests.e2e.conftest import StartCloud

COMMAND = "import sys; from flagrank.cli.app import main; sys.argv[0] = 'flagrank'; main()"


@contextmanager
def flagrank_local(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", COMMAND, "local", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def descendants(pid: int) -> set[int]:
    """The process's children and theirs, as the kernel lists them."""
    found: set[int] = set()
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            found |= {int(child)} | descendants(int(child))
    return found


def alive(pids: set[int]) -> set[int]:
    return {pid for pid in pids if Path(f"/proc/{pid}").exists() and "Z" not in state(pid)}


def state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def listening(url: str) -> bool:
    host, port = url.removeprefix("http://").split(":")
    with socket.socket() as probe:
        return probe.connect_ex((host, int(port))) == 0


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc to see the processes")
@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGKILL])
def test_it_serves_and_leaves_nothing_behind(
    synthetic_artifacts: Path, tmp_path: Path, ending: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One `ready` line, a working API, and after the end neither processes nor ports nor files, even after SIGKILL."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with flagrank_local("--data", str(synthetic_artifacts), "--port", "0", "--environments", "1") as process:
        assert process.stdout is not None
        ready = process.stdout.readline()
        assert ready.startswith("ready http://127.0.0.1:")
        url = ready.split()[1]
        assert len(httpx.get(url + "/recommend", params={"user_id": 123, "top_k": 5}).json()["top_items"]) == 5
        children = descendants(process.pid)
        assert len(children) >= 4
        process.send_signal(ending)
        process.wait(20)
        for _ in range(100):
            if not alive(children):
                break
            signal.sigtimedwait([], 0.1)
        assert not alive(children)
        assert not listening(url)
        if ending is not signal.SIGKILL:
            assert process.returncode == 0
            assert list(tmp_path.iterdir()) == []


def test_a_port_in_use_is_one_clear_line(synthetic_artifacts: Path) -> None:
    """It says which port, and how to choose another."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        with flagrank_local("--data", str(synthetic_artifacts), "--port", port) as process:
            output, errors = process.communicate(timeout=60)
    assert (process.returncode, output) == (1, "")
    assert f"port {port} is in use" in errors


def test_a_missing_folder_is_one_clear_line() -> None:
    """It says what may be given instead."""
    with flagrank_local("--data", "no-such-folder") as process:
        output, errors = process.communicate(timeout=60)
    assert (process.returncode, output, errors.count("\n")) == (2, "", 1)
    assert "synthetic" in errors


def test_a_function_that_cannot_be_loaded_is_one_clear_error(start_cloud: StartCloud) -> None:
    """It names the function's own error, and ends what was already started."""
    before = descendants(os.getpid())
    with pytest.raises(CloudError, match="No module named 'functions\\.nowhere'"):
        start_cloud(handler="functions.nowhere.handler")
    assert not alive(descendants(os.getpid()) - before)
