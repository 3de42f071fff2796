"""CPU from the start of a process to its first answer, beside a bare `import numpy, boto3`."""

import os
import resource
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from flagrank.benchmarks.results import OURS, Row, compared
from flagrank.benchmarks.shops import sample_folder
from flagrank.benchmarks.timing import Times
from flagrank.local.cloud import REPOSITORY, LocalCloud

ROUNDS = 7
TIMEOUT_S = 60
NUMPY, BARE, CLIENTS = "import numpy", "import numpy, boto3", "and an S3 client"
FIRST_ANSWER = """
import json, os
from functions.recommend.app import handler
assert handler(json.loads(os.environ["EVENT"]), None)["statusCode"] == 200
os._exit(0)
"""
CODE = {
    OURS: FIRST_ANSWER,
    NUMPY: "import numpy, os; os._exit(0)",
    BARE: "import numpy, boto3, os; os._exit(0)",
    CLIENTS: "import numpy, boto3, os; boto3.client('s3'); os._exit(0)",
}


def measure(tiny: bool) -> Iterator[Row]:
    """With this interpreter's own packages; `tests/benchmarks/test_start.py` does it in the layer as built."""
    yield from compared(
        "the packages of this environment",
        first_answer([sys.executable, "-c"], {}, 2 if tiny else ROUNDS),
    )


def first_answer(python: list[str], variables: Mapping[str, str], rounds: int) -> Times:
    """CPU in ms of processes that `python` starts, in turns, over loopback with the published sample."""
    taken: dict[str, list[float]] = {name: [] for name in CODE}
    with LocalCloud(sample_folder(), environments=1) as cloud:
        environment = {
            **cloud.variables,
            "EVENT": (REPOSITORY / "infra/events/recommend.json").read_text(),
            "PYTHONPATH": os.pathsep.join([str(REPOSITORY), str(Path(__file__).parents[2])]),
            "OPENBLAS_NUM_THREADS": "1",
            "AWS_EC2_METADATA_DISABLED": "true",
            **variables,
        }
        for _ in range(rounds):
            for name, code in CODE.items():
                taken[name].append(_cpu_ms([*python, code], environment))
    return {name: np.array(values) for name, values in taken.items()}


def _cpu_ms(command: list[str], environment: dict[str, str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL, timeout=TIMEOUT_S)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return 1000 * (after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime)
