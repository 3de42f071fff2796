"""MovieLens 100K, which is not in the repository and is only tested against where somebody has it."""

import os
from pathlib import Path

import pytest

FOLDER = Path(os.environ.get("ML100K_DIR") or "unset")

needs_ml100k = pytest.mark.skipif("ML100K_DIR" not in os.environ, reason="set ML100K_DIR to MovieLens 100K's folder")
