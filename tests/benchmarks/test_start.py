"""CPU from the start of a process to its first answer, beside a bare `import numpy, boto3` in the same built layer.

`uv run pytest tests/benchmarks/test_start.py -n 0 -s`; needs a package index, as `sam build` does.
"""

import json
import os
import platform
import resource
import statistics
import subprocess
from pathlib import Path

import pytest

from flagrank.local.cloud import REPOSITORY, LocalCloud
from tests.sam import BASE_PYTHON

ARCHITECTURE = "arm64" if platform.machine() in ("arm64", "aarch64") else "x86_64"
ROUNDS = 9
BARE = "import numpy, boto3, os; os._exit(0)"
FIRST_ANSWER = """
import json, os
from functions.recommend.app import handler
assert handler(json.loads(os.environ["EVENT"]), None)["statusCode"] == 200
os._exit(0)
"""


def cpu_ms(code: str, environment: dict[str, str]) -> float:
    """User and system time of a process that runs this code with nothing but the layer to import from."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [str(BASE_PYTHON), "-S", "-c", code]
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL, timeout=60)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return 1000 * (after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime)


@pytest.mark.timeout(600)
def test_the_first_answer_beside_a_bare_import(tmp_path: Path) -> None:
    """Medians of interleaved starts over loopback, with the published sample."""
    build = [str(BASE_PYTHON), "-m", "layer.build", ARCHITECTURE, str(tmp_path)]
    subprocess.run(build, cwd=REPOSITORY / "shared", check=True, capture_output=True, timeout=300)
    layer = tmp_path / "python"
    size = sum(path.stat().st_size for path in layer.rglob("*") if path.is_file())
    taken: dict[str, list[float]] = {BARE: [], FIRST_ANSWER: []}
    with LocalCloud(REPOSITORY / "artifacts/sample", environments=1) as cloud:
        environment = {
            **cloud.variables,
            "EVENT": (REPOSITORY / "infra/events/recommend.json").read_text(),
            "PYTHONPATH": os.pathsep.join([str(REPOSITORY), str(layer)]),
            "PYTHONDONTWRITEBYTECODE": "1",
            "OPENBLAS_NUM_THREADS": "1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        for _ in range(ROUNDS):
            for code, values in taken.items():
                values.append(cpu_ms(code, environment))
    bare, first = (statistics.median(taken[code]) for code in (BARE, FIRST_ANSWER))
    report = {"bare_ms": bare, "first_answer_ms": first, "ratio": first / bare, "layer_mb": size / 1e6}
    print(
        "\n" + json.dumps({name: round(value, 2) for name, value in report.items()}), f"load {os.getloadavg()[0]:.1f}"
    )
    assert first > bare
