"""`flagrank bench`: every measurement at tiny size, and what becomes of its figures."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flagrank.benchmarks import lexical, peers, retrieval
from flagrank.benchmarks.plot import draw
from flagrank.benchmarks.results import OURS, Machine, Measurement, Report, Row, compared, grown
from flagrank.benchmarks.run import MEASUREMENTS, run
from flagrank.benchmarks.timing import LEAST_ROUNDS, interleaved
from flagrank.cli.app import main

# those that start processes, or train
SLOW = ("stage2", "start", "request", "rerank", "publish", "cache", "growth")
NAMES = [pytest.param(name, marks=pytest.mark.slow if name in SLOW else ()) for name in MEASUREMENTS]

type Ended = tuple[int, str, str]


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Ended]:
    def run(*arguments: str) -> Ended:
        monkeypatch.setattr(sys, "argv", ["flagrank", "bench", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        return int(ended.value.code or 0), captured.out, captured.err

    return run


@pytest.mark.parametrize("name", NAMES)
def test_a_measurement_gives_finite_figures_in_the_schema(name: str) -> None:
    """At tiny size: ours is there, and what is measured survives its JSON."""
    report = run([name], lambda _: None, tiny=True)
    (measurement,) = report.measurements
    assert measurement.rows
    assert {row.contestant for row in measurement.rows if row.missing is None} & {OURS, "items"}
    # JSON has no infinity and no NaN, and the schema takes neither
    assert Report.model_validate_json(report.model_dump_json(by_alias=True)) == report


def test_a_missing_peer_is_a_row_that_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """And no failure: the others are measured."""
    monkeypatch.setattr(retrieval, "peer", lambda name: None if name == "faiss" else peers.peer(name))
    monkeypatch.setattr(lexical, "peer", lambda _: None)
    rows = [*retrieval.measure(tiny=True), *lexical.measure(tiny=True)]
    missing = {row.contestant: row.missing for row in rows if row.missing}
    assert missing.keys() == {"faiss flat", "faiss HNSW", "bm25s", "rank_bm25"}
    assert all("extra `bench`" in why for why in missing.values() if why)
    assert {row.contestant for row in rows} >= {OURS, "numpy", "implicit", "SQLite FTS5"}


def test_the_contestants_take_turns() -> None:
    """Each round calls each of them once, so that none has the quieter machine."""
    called: list[str] = []
    times = interleaved(
        {"a": lambda _: called.append("a"), "b": lambda _: called.append("b")}, rounds=LEAST_ROUNDS, warm_up=0
    )
    assert called == ["a", "b"] * LEAST_ROUNDS
    assert {name: len(values) for name, values in times.items()} == {"a": LEAST_ROUNDS, "b": LEAST_ROUNDS}


def test_a_measurement_ends_when_its_time_is_over() -> None:
    """After the least rounds, whatever was asked for."""
    times = interleaved({"slow": lambda _: sum(range(10_000))}, rounds=10_000, warm_up=0, budget_s=0.0)
    assert len(times["slow"]) == LEAST_ROUNDS


def made_up_report() -> Report:
    def times(median: float) -> Any:
        return {OURS: [1.0, 1.0], "numpy": [median, median]}

    grow = {10: {OURS: [1.0]}, 100: {OURS: [3.0]}}
    rows = {"retrieval": tuple(compared("1,000 x 64", times(4.0))), "growth": tuple(grown("items", grow))}  # type: ignore[arg-type] # lists will do
    measured = tuple(
        Measurement(name=name, about="", took_s=1.0, load=(0.0, 0.0), rows=found) for name, found in rows.items()
    )
    return Report(dated="2026-01-01", version="1", machine=Machine.here(), took_s=2.0, measurements=measured)


def test_ratios_are_to_ours_and_in_a_growth_to_the_smallest() -> None:
    """Four times our median is a ratio of 4."""
    retrieval_rows, growth_rows = (measurement.rows for measurement in made_up_report().measurements)
    assert [(row.contestant, row.ratio) for row in retrieval_rows] == [(OURS, 1.0), ("numpy", 4.0)]
    assert [(row.case, row.ratio) for row in growth_rows] == [("items 10", 1.0), ("items 100", 3.0)]


def test_a_row_without_figures_must_say_why() -> None:
    """Neither silence nor both."""
    with pytest.raises(ValueError, match="measured, or says why"):
        Row(case="some", contestant="peer")


def test_the_picture_is_drawn_from_the_json(tmp_path: Path, bench: Callable[..., Ended]) -> None:
    """An earlier run is shown and drawn without measuring anything, the same picture each time."""
    file = tmp_path / "run.json"
    file.write_text(made_up_report().model_dump_json(by_alias=True))
    code, out, _ = bench("--from", str(file), "--plot", str(tmp_path / "plots"))
    assert code == 0
    assert "1,000 x 64" in out
    drawn = (tmp_path / "plots" / "benchmark.svg").read_bytes()
    assert drawn.startswith(b"<?xml")
    assert draw(made_up_report(), tmp_path / "again").read_bytes() == drawn


def test_only_one_measurement_is_run_and_written(tmp_path: Path, bench: Callable[..., Ended]) -> None:
    """`--only` names it, and `--json` has its figures."""
    file = tmp_path / "run.json"
    code, out, _ = bench("--tiny", "--only", "lexical", "--json", str(file))
    assert code == 0
    assert "SQLite FTS5" in out
    assert [measured["name"] for measured in json.loads(file.read_text())["measurements"]] == ["lexical"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--only", "everything"], "there are retrieval, "),
        (["--from", "nowhere.json"], "cannot be read"),
        (["--from", "nowhere.json", "--only", "lexical"], "measures nothing"),
    ],
)
def test_bad_usage_ends_with_2(arguments: list[str], words: str, bench: Callable[..., Ended]) -> None:
    """And says what to do."""
    code, _, err = bench(*arguments)
    assert code == 2
    assert words in err
