"""`flagrank distill`: what it publishes, and what it leaves alone."""

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import boto3
import orjson
import pytest

from flagrank.adapters.dynamodb_judgements import DynamoDBJudgementLog
from flagrank.adapters.system_clock import SystemClock
from flagrank.cli.app import main
from flagrank.local.seed import create_table
from flagrank.model.artifacts import MANIFEST, Manifest, parse_manifest
from flagrank.model.encoding import encode
from flagrank.offline.data.judgements import JudgedText
from flagrank.offline.evaluation import distillation
from flagrank.offline.publishing import artifact_folder
from flagrank.offline.publishing import publish as publishing
from flagrank.offline.publishing.versions import fetch
from flagrank.ports import KeptJudgements
from flagrank.rerank.records import entry_key
from tests.offline.conftest import BUCKET, mocked_s3
from tests.offline.teachers import INTENTS, Teacher, by_words, judged_by, shop, shuffled

FACTORS = shop()
TEXTS = {entry_key(text): text for text in (FACTORS.catalog[row].text for row in range(200))}
FILES = encode(FACTORS, created="2026-01-02T03:04:05+00:00", training={"dataset": "shop"}, metrics={"fold": 1})


@pytest.fixture
def shop_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "set"
    artifact_folder.save(FILES, folder)
    return folder


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    with mocked_s3(monkeypatch) as client:
        yield client


type Distill = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture
def distill(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Distill:
    """Runs `flagrank distill ARGUMENTS --json`; gives the exit code and the document."""
    for name in ("FLAGRANK_BUCKET", "FLAGRANK_TABLE"):
        monkeypatch.delenv(name, raising=False)

    def run(*arguments: str | Path) -> tuple[int, dict[str, Any]]:
        monkeypatch.setattr(sys, "argv", ["flagrank", "distill", *map(str, arguments), "--json"])
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0), json.loads(capsys.readouterr().out)

    return run


def lines_of(folder: Path, teacher: Teacher, model: str = "teacher", intents: Sequence[str] = INTENTS) -> Path:
    """A file of JSON lines with what a teacher judged."""
    file = folder / f"{model}.jsonl"
    lines = [
        {"intent": each.intent, "text": TEXTS[each.key], "relevance": each.relevance, "rank": each.rank, "model": model}
        for each in judged_by(teacher, FACTORS, list(intents))
    ]
    file.write_bytes(b"".join(orjson.dumps(line) + b"\n" for line in lines))
    return file


def stored(s3: Any) -> set[str]:
    return {entry["Key"] for entry in s3.list_objects_v2(Bucket=BUCKET).get("Contents", [])}


def test_a_good_student_joins_the_set_in_its_folder(distill: Distill, shop_folder: Path, tmp_path: Path) -> None:
    """As another version, with all else as it was, and with what is known of it in the manifest."""
    before = artifact_folder.read_manifest(shop_folder)
    code, document = distill(shop_folder, "--judgements", lines_of(tmp_path, by_words))
    after = artifact_folder.read_manifest(shop_folder)
    assert (code, document["published"], document["version"]) == (0, True, after.version)
    assert after.version != before.version
    assert after.training == before.training
    assert {name: after.files[name] for name in before.files} == before.files
    assert after.metrics["fold"] == 1
    assert after.metrics["student"]["judge"] == "teacher"
    assert after.metrics["student"]["held_out"]["ndcg@10"]["gain"]["ci95"][0] > 0
    assert after.metrics["student"]["held_out"] == document["held_out"]
    assert artifact_folder.load(shop_folder).student is not None


def test_a_student_of_shuffled_judgements_changes_nothing(distill: Distill, shop_folder: Path, tmp_path: Path) -> None:
    """Exit 1 with the figures that say why."""
    code, document = distill(shop_folder, "--judgements", lines_of(tmp_path, shuffled(by_words)))
    assert (code, document["published"], document["version"]) == (3, False, None)
    assert document["held_out"]["ndcg@10"]["gain"]["ci95"][0] <= 0
    assert artifact_folder.read_manifest(shop_folder).model_dump() == _manifest().model_dump()


def test_the_set_in_force_gets_its_student(distill: Distill, s3: Any, shop_folder: Path, tmp_path: Path) -> None:
    """A new version beside it, and the pointer moves; what was in force is the one to roll back to."""
    before = publishing.publish(shop_folder, s3, BUCKET)
    code, document = distill("--bucket", BUCKET, "--judgements", lines_of(tmp_path, by_words))
    pointer, _ = publishing.read_pointer(s3, BUCKET)
    assert code == 0
    assert pointer is not None
    assert (pointer.version, pointer.previous) == (document["version"], before.version)
    assert fetch(pointer.version, s3, BUCKET)[1].student is not None


def test_a_refused_student_leaves_the_bucket_alone(
    distill: Distill, s3: Any, shop_folder: Path, tmp_path: Path
) -> None:
    """Not an object more, and the same pointer."""
    publishing.publish(shop_folder, s3, BUCKET)
    objects, pointer = stored(s3), publishing.read_pointer(s3, BUCKET)
    code, _ = distill("--bucket", BUCKET, "--judgements", lines_of(tmp_path, shuffled(by_words)))
    assert code == 3
    assert (stored(s3), publishing.read_pointer(s3, BUCKET)) == (objects, pointer)


def test_a_set_that_was_published_meanwhile_stays_in_force(
    distill: Distill, s3: Any, shop_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A student of yesterday's set must not bring yesterday's set back."""
    publishing.publish(shop_folder, s3, BUCKET)
    newer = tmp_path / "newer"
    artifact_folder.save(encode(FACTORS, created="2026-01-03T00:00:00+00:00", training={}), newer)
    make = distillation.distill

    def meanwhile(*arguments: Any, **options: Any) -> Any:
        publishing.publish(newer, s3, BUCKET)
        return make(*arguments, **options)

    monkeypatch.setattr(distillation, "distill", meanwhile)
    code, document = distill("--bucket", BUCKET, "--judgements", lines_of(tmp_path, by_words))
    pointer, _ = publishing.read_pointer(s3, BUCKET)
    assert (code, "another publish" in document["error"]) == (4, True)
    assert pointer is not None
    assert pointer.version == artifact_folder.read_manifest(newer).version


def test_the_table_s_judgements_are_learned_from(distill: Distill, s3: Any, shop_folder: Path) -> None:
    """As the service keeps them: packed, by hash, under the model that judged."""
    client = boto3.client("dynamodb", region_name="us-east-1")
    create_table(client, "scores")
    log = DynamoDBJudgementLog(client, "scores", SystemClock(), keep_days=1)
    by_intent: dict[str, list[JudgedText]] = {}
    for each in judged_by(by_words, FACTORS):
        by_intent.setdefault(each.intent, []).append(each)
    for intent, texts in by_intent.items():
        entries = tuple((each.key, each.relevance, each.rank or 0) for each in texts)
        log.keep(KeptJudgements(intent, "a-model", "v1", entries))
    code, document = distill(shop_folder, "--table", "scores")
    client.close()
    assert (code, document["judge"], document["held_out"]["with_ranks"]) == (
        0,
        "a-model",
        document["held_out"]["intents"],
    )


def test_one_model_is_chosen_of_several(distill: Distill, shop_folder: Path, tmp_path: Path) -> None:
    """Exit 2 with their names, or the one that is named."""
    files = [lines_of(tmp_path, by_words, model) for model in ("one", "two")]
    sources = [argument for file in files for argument in ("--judgements", file)]
    code, document = distill(shop_folder, *sources)
    assert (code, "one (" in document["error"], "two (" in document["error"]) == (2, True, True)
    code, document = distill(shop_folder, *sources, "--model", "two")
    assert (code, document["judge"]) == (0, "two")


def test_too_few_judgements_are_bad_input(distill: Distill, shop_folder: Path, tmp_path: Path) -> None:
    """Exit 2, and how many are needed."""
    code, document = distill(shop_folder, "--judgements", lines_of(tmp_path, by_words, intents=INTENTS[:20]))
    assert code == 2
    assert "20 intents" in document["error"]


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("set", "--local", "8080", "--judgements", "x.jsonl"), "one set"),
        (("--judgements", "x.jsonl"), "x.jsonl"),
        (("set",), "--judgements, --batch-results, --table or --local"),
        (("set", "--batch-results", "x.jsonl"), "--model"),
        (("set", "--judgements", "none.jsonl"), "none.jsonl"),
    ],
)
def test_bad_usage_says_what_to_do(
    distill: Distill, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, arguments: tuple[str, ...], problem: str
) -> None:
    """Exit 2, and nothing is read from anywhere."""
    monkeypatch.chdir(tmp_path)
    code, document = distill(*arguments)
    assert code == 2
    assert problem in document["error"]


def _manifest() -> Manifest:
    return parse_manifest(FILES[MANIFEST])
