"""`flagrank train | publish | evaluate` as a user meets them: exit code, standard output, standard error."""

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from flagrank.cli.app import main
from flagrank.model.artifacts import Pointer
from flagrank.offline.publishing.artifact_folder import load, save
from flagrank.offline.publishing.publish import read_pointer, write_pointer
from tests.offline.conftest import BUCKET, make_files, mocked_s3, version_of

OLD = make_files()
NEW = make_files(seed=1)

GOOD = "user_id,item_id\n" + "".join(f"{user},{item}\n" for user in range(1, 7) for item in range(user, user + 24))


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    def error(self) -> str:
        """The one line on standard error, and nothing on standard output."""
        assert self.out == ""
        assert self.err.endswith("\n")
        assert self.err.count("\n") == 1
        return self.err.strip()


type Flagrank = Callable[..., Ended]


@pytest.fixture
def flagrank(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Flagrank:
    """Runs the command in an empty folder, without colours and on a wide terminal."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: str) -> Ended:
        monkeypatch.setattr(sys, "argv", ["flagrank", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        return Ended(int(ended.value.code or 0), captured.out, captured.err)

    return run


@pytest.fixture
def ratings(tmp_path: Path) -> Path:
    file = tmp_path / "ratings.csv"
    file.write_text(GOOD)
    return file


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    with mocked_s3(monkeypatch) as client:
        yield client


def train_quickly(flagrank: Flagrank, *more: str) -> Ended:
    return flagrank("train", "--data", "ratings.csv", "--factors", "4", "--iterations", "2", *more)


def test_train_writes_a_set_and_says_where(flagrank: Flagrank, ratings: Path) -> None:
    """Exit 0, one line with version, sizes and folder; the set verifies."""
    ended = train_quickly(flagrank, "--out", "set")
    factors = load(Path("set"))
    assert ended.code == 0
    assert ended.out == f"{factors.version}: 29 items, 6 users, 4 factors, in set\n"


def test_train_as_json(flagrank: Flagrank, ratings: Path) -> None:
    """One document and nothing else on standard output."""
    ended = train_quickly(flagrank, "--out", "set", "--json")
    assert ended.code == 0
    assert json.loads(ended.out) == {
        "version": load(Path("set")).version,
        "folder": "set",
        "items": 29,
        "users": 6,
        "stage2": "blend",
    }


def test_train_says_what_both_stages_reached_on_a_fold(flagrank: Flagrank) -> None:
    """The same figures on the terminal, in the document and in the manifest."""
    rows = (f"{user},{(7 * user + 3 * step) % 40},{step}" for user in range(40) for step in range(30))
    Path("ratings.csv").write_text("\n".join(["user_id,item_id,timestamp", *rows]))
    read = train_quickly(flagrank, "--out", "set", "--stage2", "linear")
    said = json.loads(train_quickly(flagrank, "--out", "set", "--stage2", "linear", "--json").out)["fold_held_out"]
    assert json.loads(Path("set/manifest.json").read_bytes())["metrics"] == {"fold_held_out": said}
    first, second = (said[stage]["ndcg@10"] for stage in ("stage1", "stage2"))
    assert read.out.endswith(f"training data: NDCG@10 {first:.4f} by ALS, {second:.4f} with Stage 2\n")


def test_train_warns_of_factors_that_tell_nobody_apart(flagrank: Flagrank, ratings: Path) -> None:
    """On standard error, with what to do; the set is written and the exit code is 0."""
    ended = train_quickly(flagrank, "--out", "set", "--json")
    assert ended.code == 0
    assert json.loads(ended.out)["folder"] == "set"
    warning = ended.err.splitlines()[-1]
    assert warning.startswith("warning: the item factors span 1.0 of 4 directions")
    assert warning.endswith("such as less --regularization: --tune searches them")


@pytest.mark.parametrize("factors", [1, 2, 4])
def test_train_does_not_warn_of_factors_that_differ(flagrank: Flagrank, ratings: Path, factors: int) -> None:
    """However few there are."""
    ended = train_quickly(flagrank, "--out", "set", "--regularization", "0.1", "--factors", str(factors))
    assert ended.code == 0
    assert "warning" not in ended.err


def test_train_says_that_no_stage_2_was_learned(flagrank: Flagrank, ratings: Path) -> None:
    """In a line of its own, and in the document."""
    ratings.write_text("user_id,item_id\n" + "".join(f"{user},{item}\n" for user in range(6) for item in range(12)))
    plain, document = train_quickly(flagrank, "--out", "set"), train_quickly(flagrank, "--out", "set", "--json")
    assert plain.code == document.code == 0
    assert plain.out.splitlines()[1:] == [
        "no Stage 2: nobody has enough interactions to learn one from, and ALS's order is served"
    ]
    assert json.loads(document.out)["stage2"] == "none"


def test_train_without_a_stage_2_by_request_says_no_more(flagrank: Flagrank, ratings: Path) -> None:
    """Who asked for none need not be told."""
    ended = train_quickly(flagrank, "--out", "set", "--stage2", "none")
    assert ended.code == 0
    assert ended.out.count("\n") == 1


def tune_quickly(flagrank: Flagrank, *more: str) -> Ended:
    return train_quickly(flagrank, "--stage2", "none", "--tune", "--trials", "3", *more)


def test_tune_says_what_it_found_and_how_sure_it_is(flagrank: Flagrank, ratings: Path) -> None:
    """One line of the best trial and how far seeds move it; the same in the document and in the manifest."""
    plain, document = (
        tune_quickly(flagrank, "--out", "set"),
        json.loads(tune_quickly(flagrank, "--out", "set", "--json").out),
    )
    manifest = json.loads(Path("set/manifest.json").read_bytes())
    tuning, search = document["tuning"], document["search"]
    best = max(tuning["trials"], key=lambda trial: trial["ndcg"])
    assert best == {**tuning["best"], "ndcg": search["ndcg@10"]}
    assert len(tuning["trials"]) == 3
    assert plain.out.splitlines()[1] == (
        f"best of 3 trials: factors {best['factors']}, regularization {best['regularization']:g}, "
        f"alpha {best['alpha']:g}, rating_weight {best['rating_weight']:g}, iterations {best['iterations']}: "
        f"NDCG@10 {search['ndcg@10']:.4f} on folds, seeds {search['seed_spread']:.4f} apart"
    )
    assert manifest["metrics"] == {"search": search}
    assert manifest["training"]["tuning"] == tuning
    assert manifest["training"]["als"] == tuning["best"]


@pytest.mark.parametrize("out", ["new/folder/set", "."])
def test_tune_keeps_its_trials_beside_the_set(
    flagrank: Flagrank, ratings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, out: str
) -> None:
    """In a folder that does not exist yet, and beside the folder that one is in."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    ended = tune_quickly(flagrank, "--out", out, "--data", str(ratings))
    assert ended.code == 0
    folder = (tmp_path / "here" / out).resolve()
    assert load(folder).version == ended.out.split(":")[0]
    assert folder.with_name(f"{folder.name}.tuning.jsonl").read_bytes().count(b"\n") == 4


def test_tune_refuses_a_study_that_is_a_folder(flagrank: Flagrank, ratings: Path, tmp_path: Path) -> None:
    """One line, and no set."""
    Path("mine").mkdir()
    ended = tune_quickly(flagrank, "--out", "set", "--study", "mine")
    assert ended.code == 2
    assert ended.error() == "error: mine: cannot keep the search's trials: Is a directory"
    assert not Path("set").exists()


def test_tune_refuses_a_study_in_the_folder_of_the_set(flagrank: Flagrank, ratings: Path) -> None:
    """The set would find a folder that is neither new nor a set, when the search is over."""
    ended = tune_quickly(flagrank, "--out", "set", "--study", "set/study.jsonl")
    assert ended.code == 2
    assert ended.error() == "error: set/study.jsonl: lies in the folder of --out; give another --study"
    assert not Path("set").exists()


def test_train_refuses_a_split_of_csv(flagrank: Flagrank, ratings: Path) -> None:
    """It has none."""
    ended = train_quickly(flagrank, "--out", "set", "--split", "ub")
    assert ended.code == 2
    assert ended.error() == "error: ratings.csv: has no split 'ub': --split is for MovieLens 100K's folder alone"


def test_train_records_its_parameters(flagrank: Flagrank, ratings: Path) -> None:
    """Given ones and defaults, and the data's name."""
    train_quickly(
        flagrank, "--out", "set", "--seed", "7", "--alpha", "3", "--regularization", "2", "--text-tokens", "5"
    )
    training = json.loads(Path("set/manifest.json").read_bytes())["training"]
    assert (training["dataset"], training["embedder"], training["kind"]) == ("ratings.csv", "none", "blend")
    assert training["als"] == {
        "factors": 4,
        "regularization": 2.0,
        "alpha": 3.0,
        "rating_weight": 0.25,
        "iterations": 2,
        "seed": 7,
        "text_tokens": 5,
    }


def test_a_bad_row_stops_the_run(flagrank: Flagrank, ratings: Path, tmp_path: Path) -> None:
    """Exit 2, one line with file, line and what was expected, and nothing written at all."""
    ratings.write_text(GOOD + "7,\n")
    ended = train_quickly(flagrank, "--out", "set")
    assert ended.code == 2
    assert ended.error() == f"error: ratings.csv:{GOOD.count('\n') + 1}: expected 1 to 128 characters as item_id"
    assert list(tmp_path.iterdir()) == [ratings]


def test_a_bad_row_leaves_an_earlier_set_as_it_was(flagrank: Flagrank, ratings: Path) -> None:
    """Half an update is no update."""
    train_quickly(flagrank, "--out", "set")
    before = {path.name: path.read_bytes() for path in Path("set").iterdir()}
    ratings.write_text(GOOD + "7\n")
    assert train_quickly(flagrank, "--out", "set").code == 2
    assert {path.name: path.read_bytes() for path in Path("set").iterdir()} == before


def test_train_does_not_eat_a_folder_of_something_else(flagrank: Flagrank, ratings: Path, tmp_path: Path) -> None:
    """`--out .` among one's own files is refused before any work."""
    ended = train_quickly(flagrank, "--out", ".")
    assert ended.code == 2
    assert ended.error() == "error: .: is not empty and holds no artifact set; give a new folder"
    assert list(tmp_path.iterdir()) == [ratings]


def test_missing_data_is_named(flagrank: Flagrank) -> None:
    """Exit 2 and what `--data` would take."""
    ended = flagrank("train", "--data", "nowhere", "--out", "set")
    assert ended.code == 2
    assert ended.error().startswith("error: nowhere: no such file or folder; give 'synthetic'")


def test_brackets_in_a_name_are_no_markup(flagrank: Flagrank) -> None:
    """A path such as `[/b]` is shown, not interpreted."""
    ended = flagrank("evaluate", "--data", "[/b][red]x")
    assert ended.code == 2
    assert ended.error().startswith("error: [/b][red]x: no such file or folder")


@pytest.mark.parametrize(
    "arguments",
    [
        ("train",),
        ("train", "--out", "set", "--factors", "0"),
        ("train", "--out", "set", "--iterations", "many"),
        ("train", "--out", "set", "--alpha", "0"),
        ("train", "--out", "set", "--no-such-option"),
        ("no-such-command",),
    ],
)
def test_bad_usage_exits_with_two(flagrank: Flagrank, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """And writes nothing."""
    ended = flagrank(*arguments)
    assert (ended.code, ended.out) == (2, "")
    assert "Usage: " in ended.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["train", "publish", "evaluate"])
def test_help_is_the_manual(flagrank: Flagrank, command: str) -> None:
    """Exit 0, on standard output."""
    ended = flagrank(command, "--help")
    assert (ended.code, ended.err) == (0, "")
    assert f"flagrank {command}" in ended.out


def test_evaluate_prints_json_and_nothing_else(flagrank: Flagrank, ratings: Path) -> None:
    """`--json -` is for pipes."""
    ended = flagrank("evaluate", "--data", "ratings.csv", "--json", "-")
    assert ended.code == 0
    assert json.loads(ended.out)["users"] == 6


def test_evaluate_prints_a_table(flagrank: Flagrank, ratings: Path, tmp_path: Path) -> None:
    """Without `--json` nothing is written."""
    ended = flagrank("evaluate", "--data", "ratings.csv")
    assert ended.code == 0
    assert "ratings.csv: 6 users" in ended.out
    assert list(tmp_path.iterdir()) == [ratings]


def test_evaluate_writes_json_and_prints_a_table(flagrank: Flagrank, ratings: Path) -> None:
    """`--json FILE` is for keeping; the table is for the eye and agrees with it."""
    ended = flagrank("evaluate", "--data", "ratings.csv", "--json", "report.json")
    report = json.loads(Path("report.json").read_bytes())
    assert ended.code == 0
    for row in ("stage1", "popularity"):
        assert f"{report[row]['recall@10']:.4f}" in ended.out


@pytest.mark.parametrize("report", ["no/report.json", "."])
def test_evaluate_refuses_a_report_that_cannot_be_a_file(flagrank: Flagrank, ratings: Path, report: str) -> None:
    """Before the training, not after it."""
    ended = flagrank("evaluate", "--data", "ratings.csv", "--json", report)
    assert ended.code == 2
    assert ended.error() == f"error: {report}: expected a file in an existing folder"


def test_evaluate_says_why_a_report_cannot_be_written(
    flagrank: Flagrank, ratings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk is known only at the end; the message is one line all the same, behind those of the steps."""

    def full_disk(*arguments: Any) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full_disk)
    ended = flagrank("evaluate", "--data", "ratings.csv", "--json", "report.json")
    assert ended.code == 2
    assert ended.err.splitlines()[-1] == "error: report.json: cannot be written: No space left on device"


def test_evaluate_refuses_data_that_leaves_nothing_to_hold_out(flagrank: Flagrank, ratings: Path) -> None:
    """One clear line, and no report."""
    ratings.write_text("user_id,item_id\n1,10\n2,10\n")
    ended = flagrank("evaluate", "--data", "ratings.csv", "--json", "report.json")
    assert ended.code == 2
    assert ended.error() == "error: ratings.csv: nothing to hold out: no user has 20 interactions"
    assert not Path("report.json").exists()


def test_publish_puts_a_set_into_force(flagrank: Flagrank, s3: Any) -> None:
    """Exit 0 and one line that names version, place and what was there before."""
    old, new = version_of(OLD), version_of(NEW)
    save(OLD, Path("old"))
    save(NEW, Path("new"))
    first = flagrank("publish", "old", "--bucket", BUCKET)
    second = flagrank("publish", "new", "--bucket", BUCKET, "--json")
    assert (first.code, first.out) == (0, f"{old} is in force in s3://{BUCKET}/factors\n")
    assert (second.code, json.loads(second.out)) == (0, {"version": new, "previous": old, "bucket": BUCKET})
    pointer, _ = read_pointer(s3, BUCKET)
    assert pointer is not None
    assert pointer.version == new


def test_publish_names_the_version_before(flagrank: Flagrank, s3: Any) -> None:
    """And takes another prefix."""
    save(OLD, Path("old"))
    save(NEW, Path("new"))
    flagrank("publish", "old", "--bucket", BUCKET, "--prefix", "shop")
    ended = flagrank("publish", "new", "--bucket", BUCKET, "--prefix", "shop")
    assert ended.out == f"{version_of(NEW)} is in force in s3://{BUCKET}/shop, before it {version_of(OLD)}\n"


def test_publish_without_a_set_says_how_to_make_one(flagrank: Flagrank, s3: Any) -> None:
    """Exit 2: a folder that is missing is bad input, whatever the command."""
    ended = flagrank("publish", "nothing", "--bucket", BUCKET)
    assert ended.code == 2
    assert ended.error().endswith("no artifact set, No such file or directory; make one with `flagrank train`")


def test_publish_into_a_bucket_that_does_not_exist_is_one_line(flagrank: Flagrank, s3: Any) -> None:
    """In the service's own words."""
    save(OLD, Path("set"))
    ended = flagrank("publish", "set", "--bucket", "no-such-bucket")
    assert ended.code == 1
    assert ended.error().startswith("error: AWS: An error occurred (NoSuchBucket)")


def test_losing_against_another_publisher_has_its_own_code(
    flagrank: Flagrank, s3: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says what to do, and the winner's pointer stays."""
    save(OLD, Path("set"))
    winner = Pointer(version="20260101-aaaaaaaaaaaa", activated="2026-01-01T00:00:00+00:00")

    def overtaken(*arguments: Any) -> None:
        write_pointer(s3, BUCKET, "factors", winner, None)
        write_pointer(*arguments)

    monkeypatch.setattr("flagrank.offline.publishing.publish.write_pointer", overtaken)
    ended = flagrank("publish", "set", "--bucket", BUCKET)
    assert ended.code == 4
    assert ended.error().startswith("error: another publish moved the pointer at the same time")
    assert read_pointer(s3, BUCKET)[0] == winner


def test_a_dry_run_trains_nothing_and_needs_no_folder(flagrank: Flagrank, ratings: Path, tmp_path: Path) -> None:
    """In lines, or as one document."""
    plain, document = (flagrank("train", "--data", "ratings.csv", "--dry-run", *more) for more in ((), ("--json",)))
    assert plain.code == document.code == 0
    assert plain.out.startswith("ratings.csv: 144 rows, 6 users, 29 items")
    assert json.loads(document.out)["rows"] == 144
    assert list(tmp_path.iterdir()) == [ratings]


def test_publish_needs_a_bucket_or_the_local_cloud(flagrank: Flagrank) -> None:
    """The line says both."""
    ended = flagrank("publish", "set")
    assert ended.code == 2
    assert ended.error() == "error: name the bucket with --bucket or FLAGRANK_BUCKET, or use --local"


def test_what_is_ignored_is_said(flagrank: Flagrank, ratings: Path) -> None:
    """On standard error, before the training."""
    ratings.write_text(
        GOOD.replace("item_id\n", "item_id,colour_of_page\n").replace("\n", ",x\n").replace("page,x", "page")
    )
    ended = flagrank("train", "--data", "ratings.csv", "--dry-run")
    assert ended.err == "note: ratings.csv: ignored: 'colour_of_page'\n"
