"""`python -m tests.fuzz.run TARGET [libFuzzer's options]`: fuzzes one boundary with atheris, guided by coverage.

`-runs=200000` and `-max_total_time=60` say for how long. It begins with the seeds in tests/data/fuzz/TARGET, and keeps
what it finds to be new in a folder that ends with it. What crashes is written to the working folder.
"""

import sys
import tempfile
from pathlib import Path

import atheris

# the boundaries themselves: to instrument what they are built on takes minutes
INSTRUMENTED = ["flagrank.rerank.parsing", "flagrank.flags", "flagrank.model", "flagrank.adapters.dynamodb_cache"]
SEEDS = Path(__file__).parents[1] / "data" / "fuzz"


def main() -> None:
    """Fuzzes until the options say stop, or something but a FlagrankError leaves the boundary."""
    name, *options = sys.argv[1:]
    with atheris.instrument_imports(include=INSTRUMENTED):
        from tests.fuzz.targets import TARGETS
    with tempfile.TemporaryDirectory() as found:
        atheris.Setup([sys.argv[0], *options, found, str(SEEDS / name)], TARGETS[name])
        atheris.Fuzz()


if __name__ == "__main__":
    main()
