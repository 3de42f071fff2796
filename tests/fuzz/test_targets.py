"""The fuzzer's targets with their seeds and a few bytes of hypothesis's: what CI runs of them.

`uv run poe fuzz TARGET` has atheris do it for as long as it is told to.
"""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flagrank.errors import FlagrankError
from tests.fuzz.targets import TARGETS

SEEDS = Path(__file__).parents[1] / "data" / "fuzz"


def seeds_of(name: str) -> list[bytes]:
    return [path.read_bytes() for path in sorted((SEEDS / name).iterdir())]


@pytest.mark.parametrize("name", TARGETS)
def test_the_seeds_pass(name: str) -> None:
    """What was once found to be of interest is taken or refused."""
    assert seeds_of(name)
    for seed in seeds_of(name):
        TARGETS[name](seed)


@pytest.mark.parametrize("name", TARGETS)
@settings(max_examples=50)
@given(data=st.data())
def test_only_our_own_errors_leave_a_boundary(name: str, data: st.DataObject) -> None:
    """Neither for any bytes, nor for seeds with any bytes in their midst."""
    seed = data.draw(st.sampled_from([b"", *seeds_of(name)]))
    start = data.draw(st.integers(0, len(seed)))
    end = data.draw(st.integers(start, min(len(seed), start + 64)))
    TARGETS[name](seed[:start] + data.draw(st.binary(max_size=64)) + seed[end:])


def test_a_target_lets_everything_else_through() -> None:
    """An error that is none of ours is one that the fuzzer sees."""
    assert not issubclass(AssertionError, FlagrankError)
    with pytest.raises(AttributeError):
        TARGETS["answer"](None)  # type: ignore[arg-type]
