"""How far a measure is from its limit, in a few plain characters."""

from flagrank.delivery.analysis.verdict import MetricResult

CELLS = 9
# the cell of the limit: what rises has room below it, and what must not sink has room above it
MARK, FLOOR_MARK = 6, 2


def gauge(result: MetricResult) -> str:
    """Where the truth lies (`=`) beside the limit (`|`), from 0 to one and a half limits; `>` goes on beyond that.

    `-` without data, and for a limit of 0, which has no scale.
    """
    if result.low is None or result.high is None or result.treatment is None or not result.limit:
        return "-"
    mark = FLOOR_MARK if result.is_floor else MARK
    low, high = (mark * (bound / result.limit) for bound in (result.low, result.high))
    cells = ["=" if low < cell + 1 and high > cell else "." for cell in range(CELLS)]
    if high <= 0:
        cells[0] = "="
    if high > CELLS:
        cells[-1] = ">"
    cells.insert(mark, "|")
    return "".join(cells)
