"""Own CPU of one request through the handler, step by step, as ratios to a bare handler in the same run.

`OPENBLAS_NUM_THREADS=1 uv run pytest tests/benchmarks/test_request.py -n 0 -s`
"""

import json
import os

import numpy as np

from flagrank.benchmarks.request import BARE, ROUNDS, event, quiet, service, steps_of, timed
from flagrank.benchmarks.shops import sample
from flagrank.serving.plain_event import answered


def test_where_a_request_s_time_goes() -> None:
    """Control, cached rerank, and the parts of control, each beside the bare handler."""
    factors = sample()
    with quiet():
        times = timed(steps_of(factors), ROUNDS)
    medians = {name: float(np.median(values)) for name, values in times.items()}
    print(f"\n{len(factors.item_ids)} items, load {os.getloadavg()[0]:.1f}")
    print("\n".join(f"{name:38}{value:.3f} ms, {value / medians[BARE]:.0f} x" for name, value in medians.items()))
    assert np.isfinite(list(medians.values())).all()


def test_the_cached_rerank_is_one() -> None:
    """What is timed as a rerank orders the list by cached scores."""
    factors = sample()
    treated = service(factors, 100.0)
    with quiet():
        answers = [answered(event(factors.user_ids[0].item()), treated) or {} for _ in range(2)]
    assert json.loads(answers[-1]["body"])["mode"] == "hybrid_rerank"
