"""AWS's SAM tooling, in an environment of its own: it pins another boto3 than ours."""

import functools
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# SAM builds with the interpreter that PATH names, and refuses a version manager's shim
BASE_PYTHON = Path(sys.base_prefix) / "bin" / "python3.13"
SAM_CLI = "aws-sam-cli==1.170.0"
DOWNLOAD_S = 90
RUN_S = 110


@functools.cache
def uv() -> str:
    """The uv executable; skips without one."""
    found = os.environ.get("UV") or shutil.which("uv")
    if found is None:
        pytest.skip("SAM's tooling runs through uv, which is not here; `pip install uv`")
    return found


def run_in_sam_environment(*command: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Runs a command beside aws-sam-cli; skips where that cannot be had."""
    samcli_folder()
    return _tool(*command, cwd=cwd, timeout_s=RUN_S)


@functools.cache
def samcli_folder() -> Path:
    """Where aws-sam-cli is installed; skips where it cannot be."""
    reason = f"{SAM_CLI} cannot be installed here"
    try:
        done = _tool("python", "-c", "import samcli; print(samcli.__path__[0])", cwd=ROOT, timeout_s=DOWNLOAD_S)
    except subprocess.TimeoutExpired:
        pytest.skip(f"{reason}: not within {DOWNLOAD_S} s")
    if done.returncode:
        pytest.skip(f"{reason}: {done.stderr.strip()}")
    return Path(done.stdout.strip())


def _tool(*command: str, cwd: Path, timeout_s: float) -> subprocess.CompletedProcess[str]:
    # without credentials, for SAM would ask AWS whose they are; without a colour's escape codes in what tests read
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    environment |= {
        "PATH": f"{BASE_PYTHON.parent}{os.pathsep}{environment['PATH']}",
        "SAM_CLI_TELEMETRY": "0",
        "AWS_DEFAULT_REGION": "eu-west-1",
        "NO_COLOR": "1",
    }
    return subprocess.run(
        [uv(), "tool", "run", "--quiet", "--from", SAM_CLI, *command],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout_s,
    )
