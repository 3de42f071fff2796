"""CPU from the start of a process to its first answer, beside a bare `import numpy, boto3` in the same built layer.

`uv run pytest tests/benchmarks/test_start.py -n 0 -s`; needs a package index, as `sam build` does.
"""

import os
import platform
import subprocess
from pathlib import Path

import pytest

from flagrank.benchmarks.results import OURS, compared
from flagrank.benchmarks.start import BARE, first_answer
from flagrank.local.cloud import REPOSITORY
from tests.sam import BASE_PYTHON

ARCHITECTURE = "arm64" if platform.machine() in ("arm64", "aarch64") else "x86_64"
ROUNDS = 9


@pytest.mark.timeout(600)
def test_the_first_answer_beside_a_bare_import(tmp_path: Path) -> None:
    """Medians of interleaved starts over loopback, with the published sample."""
    build = [str(BASE_PYTHON), "-m", "layer.build", ARCHITECTURE, str(tmp_path)]
    subprocess.run(build, cwd=REPOSITORY / "shared", check=True, capture_output=True, timeout=300)
    layer = tmp_path / "python"
    size = sum(path.stat().st_size for path in layer.rglob("*") if path.is_file())
    variables = {"PYTHONPATH": os.pathsep.join([str(REPOSITORY), str(layer)]), "PYTHONDONTWRITEBYTECODE": "1"}
    times = first_answer([str(BASE_PYTHON), "-S", "-c"], variables, ROUNDS)
    rows = {row.contestant: row for row in compared(f"layer of {size / 1e6:.1f} MB", times)}
    print("\n" + "\n".join(map(str, rows.values())), f"load {os.getloadavg()[0]:.1f}")
    first, bare = rows[OURS].median or 0, rows[BARE].median or 0
    print(f"ratio {first / bare:.2f}")
    assert first > bare
