"""What holds for all tests."""

import os
import sys

import pytest
from hypothesis import HealthCheck, settings

# a container may forbid Python its compiled files, and each of the hundreds of processes that the tests start would
# compile boto3 and FastAPI anew: twice the time
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# the matrices of tests are small: more threads of numpy, implicit and LightGBM spin while they wait for each other, and
# cost four times the CPU time. Set before any of them is imported
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

# no test asserts a time, and a busy machine takes longer over an example than hypothesis allows by default
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--full` runs what CI has no time for, at its full length."""
    parser.addoption("--full", action="store_true", help="run every test at its full length")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves out what only `--full` runs."""
    if not config.getoption("--full"):
        left_out = [item for item in items if item.get_closest_marker("full")]
        items[:] = [item for item in items if item not in left_out]
        config.hook.pytest_deselected(items=left_out)


@pytest.fixture(scope="session")
def full(request: pytest.FixtureRequest) -> bool:
    """Whether a test has all the time that it wants."""
    return bool(request.config.getoption("--full"))


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """No workers for tests that are named by their files: to start workers takes longer than most files do."""
    return 0 if all(".py" in argument for argument in config.args) else None
