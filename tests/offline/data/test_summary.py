"""What a dry run says of the data."""

from dataclasses import asdict
from pathlib import Path

from flagrank.cli.dry_run import described
from flagrank.offline.data.summary import summarised
from flagrank.offline.data.tabular import read


def test_a_summary_counts_what_is_there(tmp_path: Path) -> None:
    """Rows, users, items, pairs that come again, and the span of time."""
    (tmp_path / "a.csv").write_text("user,item,ts,note\n1,10,100,x\n1,10,200,x\n1,11,50,x\n2,10,300,x\n")
    found = summarised(read(tmp_path / "a.csv"))
    assert asdict(found) == {
        "name": "a.csv",
        "rows": 4,
        "users": 2,
        "items": 2,
        "items_with_text": 0,
        "duplicates": 1,
        "density": 0.75,
        "first_s": 50,
        "last_s": 300,
        "held_out": 0,
        "attributes": (),
        "notes": (f"{tmp_path}/a.csv: ignored: 'note'",),
    }


def test_a_dry_run_says_so_in_lines(tmp_path: Path) -> None:
    """With what training is likely to take, and where that comes from."""
    (tmp_path / "a.csv").write_text("user,item\n1,10\n1,11\n")
    document, lines = described(read(tmp_path / "a.csv"))
    assert lines[0] == "a.csv: 2 rows, 1 users, 2 items, density 100.0000%"
    assert lines[1] == "no times: the rows' order counts"
    assert lines[-1].startswith("training is likely to take 0 s and 0.0 GB, at the rates measured on two cores")
    assert document["estimate"]["measured_up_to_pairs"] == 316_000


def test_the_estimate_counts_a_pair_once(tmp_path: Path) -> None:
    """Training does so too."""
    (tmp_path / "a.csv").write_text("user,item\n" + "1,10\n" * 20_000)
    assert described(read(tmp_path / "a.csv"))[0]["estimate"]["seconds"] == 0.0
