"""Stage 2's serving cost on MovieLens, beside LightGBM's own predict on the same trees."""

from flagrank.benchmarks.results import OURS
from flagrank.benchmarks.stage2 import PEER, beside_lightgbm
from flagrank.offline.data.sources import read_dataset
from tests.offline.ml100k import FOLDER, needs_ml100k

TREES, ROUNDS = 150, 400
LIMIT_MS = 3.0


@needs_ml100k
def test_scoring_200_candidates() -> None:
    """Features and blend in under 3 ms at the median, and the trees no slower than LightGBM's own predict."""
    rows = list(beside_lightgbm(read_dataset(str(FOLDER)), TREES, ROUNDS))
    print("\n" + "\n".join(map(str, rows)))
    both = next(row for row in rows if row.contestant == OURS)
    lightgbm = next(row for row in rows if row.contestant == PEER)
    assert both.median is not None
    assert both.median < LIMIT_MS
    assert (lightgbm.ratio or 0) > 0.5
