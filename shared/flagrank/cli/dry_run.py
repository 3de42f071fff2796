"""`flagrank train --dry-run`: what the data hold, and what training is likely to take."""

import datetime as dt
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from flagrank.cli.step_lines import duration

if TYPE_CHECKING:
    from flagrank.offline.data.interactions import Dataset
    from flagrank.offline.data.summary import Summary

# both stages, files to artifacts, two cores (decision 0081): 90,570 pairs took 24.5 s, 316,000 pairs 85.5 s and 2.3 GB
SECONDS_A_PAIR = 85.5 / 316_000
MB_A_PAIR = 2_300 / 316_000
MEASURED_PAIRS = 316_000


def described(dataset: "Dataset") -> tuple[dict[str, Any], list[str]]:
    """The document of a dry run, and the same in lines."""
    from flagrank.offline.data.summary import summarised

    found = summarised(dataset)
    # training keeps a pair once
    pairs = found.rows - found.duplicates
    seconds, megabytes = pairs * SECONDS_A_PAIR, pairs * MB_A_PAIR
    estimate = {"seconds": round(seconds, 1), "megabytes": round(megabytes), "measured_up_to_pairs": MEASURED_PAIRS}
    return {"dry_run": True, **asdict(found), "estimate": estimate}, list(_lines(found, seconds, megabytes))


def _lines(found: "Summary", seconds: float, megabytes: float) -> Iterator[str]:
    counts = f"{found.rows:,} rows, {found.users:,} users, {found.items:,} items"
    yield f"{found.name}: {counts}, density {found.density:.4%}"
    if found.first_s is None or found.last_s is None:
        yield "no times: the rows' order counts"
    else:
        first, last = (dt.datetime.fromtimestamp(moment, dt.UTC) for moment in (found.first_s, found.last_s))
        yield f"from {first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M} UTC, {(last - first).days} days"
    yield f"{found.duplicates:,} rows repeat a pair of user and item; the last of each counts"
    attributes = ", ".join(found.attributes) or "no attributes"
    yield f"{found.items_with_text:,} items with texts; {attributes}"
    if found.held_out:
        yield f"{found.held_out:,} rows are held out by the data themselves"
    likely = f"{duration(seconds)} and {megabytes / 1000:.1f} GB"
    yield f"training is likely to take {likely}, at the rates measured on two cores"
    if found.rows - found.duplicates > MEASURED_PAIRS:
        yield f"that is reckoned from up to {MEASURED_PAIRS:,} pairs of user and item; so many were not measured"
