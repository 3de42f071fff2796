"""What Mangum needs of a thread."""

from collections.abc import Iterator

import pytest

from tests.hostile.function import loop_for_mangum


@pytest.fixture(scope="module", autouse=True)
def _loop() -> Iterator[None]:
    with loop_for_mangum():
        yield
