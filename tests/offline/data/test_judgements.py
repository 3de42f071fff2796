"""Judgements as a training set."""

from pathlib import Path

import orjson
import pytest

from flagrank.errors import DataError
from flagrank.offline.data.batch_judgements import read_batch_results
from flagrank.offline.data.judgements import JudgedText, Part, met_with, of_one_model, read_lines, unpacked
from flagrank.ports import KeptJudgements
from flagrank.rerank.answers import COMPACT, VERBOSE, AnswerForm
from flagrank.rerank.prompting import build_prompt
from flagrank.rerank.records import entry_key
from tests.factories import make_factors
from tests.offline.teachers import INTENTS, by_words, judged_by, shop

TEXTS = [make_factors().catalog[row].text for row in range(3)]


def judged(intent: str, text: str, relevance: int, rank: int | None = None, model: str = "m") -> JudgedText:
    return JudgedText(intent, entry_key(text), relevance, model, rank)


def test_lines_are_read_as_they_are_documented(tmp_path: Path) -> None:
    """Rank and model may be left out, other fields are nobody's business, and empty lines are skipped."""
    file = tmp_path / "judged.jsonl"
    file.write_text(
        '{"intent": "quiet", "text": "a b", "relevance": 70}\n\n'
        '{"intent": "quiet", "text": "c", "relevance": 0, "rank": 3, "model": "m", "note": "x"}\n'
    )
    assert list(read_lines(file)) == [judged("quiet", "a b", 70, model=""), judged("quiet", "c", 0, 3)]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ('{"intent": "quiet", "text": "a", "relevance": 101}', "relevance"),
        ('{"intent": "quiet", "text": "a", "relevance": "70"}', "relevance"),
        ('{"intent": "", "text": "a", "relevance": 70}', "intent"),
        ('{"text": "a", "relevance": 70}', "intent"),
        ('{"intent": "quiet", "text": "a", "relevance": 70, "rank": -1}', "rank"),
        ("no json", "JSON"),
        ("[]", "object"),
    ],
)
def test_a_line_that_cannot_be_read_is_named(tmp_path: Path, line: str, problem: str) -> None:
    """With its file, number and field: nothing is skipped in silence."""
    file = tmp_path / "judged.jsonl"
    file.write_text('{"intent": "quiet", "text": "a b", "relevance": 70}\n' + line + "\n")
    with pytest.raises(DataError, match=rf"judged.jsonl.*2.*{problem}"):
        list(read_lines(file))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    """As bad input, not as a bug."""
    with pytest.raises(DataError, match=r"none\.jsonl"):
        list(read_lines(tmp_path / "none.jsonl"))


def test_texts_are_met_in_the_catalogue_by_their_hashes() -> None:
    """By rank, the last judgement of each text; what the catalogue does not hold any more is counted."""
    found = met_with(
        make_factors(),
        [
            judged("quiet", TEXTS[2], 10, 1),
            judged("quiet", TEXTS[0], 5, 7),
            judged("quiet", TEXTS[0], 80, 0),
            judged("quiet", "gone", 1, 2),
        ],
    )
    (quiet,) = found.intents
    assert (quiet.rows.tolist(), quiet.relevance.tolist(), quiet.ranked) == ([0, 2], [80, 10], True)
    assert (len(found), found.unknown, found.model) == (2, 1, "m")


@pytest.mark.parametrize("rank", [None, 0])
def test_a_rank_that_is_unknown_or_taken_leaves_the_order_unknown(rank: int | None) -> None:
    """A baseline that is known in part, or made of two lists, is not the baseline."""
    lines = [judged("quiet", TEXTS[0], 1, 0), judged("quiet", TEXTS[1], 2, rank)]
    (quiet,) = met_with(make_factors(), lines).intents
    assert not quiet.ranked


def test_too_many_judgements_lose_whole_intents() -> None:
    """The same ones each time, and never a part of one."""
    factors = shop()
    found, again = (met_with(factors, list(judged_by(by_words, factors)), limit=1000) for _ in range(2))
    assert [each.intent for each in found.intents] == [each.intent for each in again.intents]
    assert {len(each.rows) for each in found.intents} == {40}
    assert len(found) == 1000


def test_intents_of_the_same_words_are_in_one_part() -> None:
    """Otherwise the report would be of intents that the student has met."""
    factors = make_factors()

    def part(intent: str) -> Part:
        return met_with(factors, [judged(intent, TEXTS[0], 1)]).intents[0].part

    assert part("quiet red audio") is part("audio quiet red") is part("red red audio quiet")
    parts = [part(intent) for intent in INTENTS]
    assert all(parts.count(each) > 0.1 * len(parts) for each in Part)


def test_several_models_have_to_be_chosen_from() -> None:
    """Their scales differ, so that mixing them would teach neither."""
    mixed = [judged("quiet", "a", 1, model="one"), judged("quiet", "b", 2, model="two")]
    with pytest.raises(DataError, match=r"one \(1\), two \(1\).*--model"):
        of_one_model(mixed, None)
    assert of_one_model(mixed, "two") == mixed[1:]
    assert of_one_model(mixed[:1], None) == mixed[:1]


def test_the_log_s_entries_are_judgements() -> None:
    """Each with its intent, judge and rank."""
    kept = KeptJudgements("quiet", "m", "v1", ((entry_key("a"), 70, 4), (entry_key("b"), 5, 9)))
    assert list(unpacked(kept)) == [judged("quiet", "a", 70, 4), judged("quiet", "b", 5, 9)]


def batch_line(form: AnswerForm, answer: object, stop_reason: str = "end_turn") -> bytes:
    prompt = build_prompt("quiet", TEXTS[:2], form)
    output = {"output": {"message": {"content": [{"text": orjson.dumps(answer).decode()}]}}, "stopReason": stop_reason}
    asked = {"system": [{"text": prompt.system}], "messages": [{"role": "user", "content": [{"text": prompt.user}]}]}
    return orjson.dumps({"recordId": "1", "modelInput": asked, "modelOutput": output})


@pytest.mark.parametrize(
    ("form", "answer"),
    [
        (COMPACT, {"scores": [70, 5]}),
        (VERBOSE, {"items": [{"i": i, "relevance": r, "allowed": True} for i, r in ((0, 70), (1, 5))]}),
    ],
)
def test_batch_results_are_read_strictly_in_both_forms(tmp_path: Path, form: AnswerForm, answer: object) -> None:
    """Prompt and answer are in one line; a record that failed, or an answer that cannot be read, is left out."""
    failed = b'{"recordId": "2", "modelInput": {}, "error": {"errorCode": 400, "errorMessage": "bad"}}'
    file = tmp_path / "records.jsonl.out"
    cut_off = batch_line(form, answer, stop_reason="max_tokens")
    file.write_bytes(b"\n".join([batch_line(form, answer), failed, cut_off, batch_line(form, {"scores": []})]))
    assert list(read_batch_results(file, "m")) == [judged("quiet", TEXTS[0], 70), judged("quiet", TEXTS[1], 5)]


@pytest.mark.parametrize("line", [b"no json", b"[]", b'{"modelOutput": {}}', b'{"modelInput": {}, "modelOutput": {}}'])
def test_a_line_that_is_no_batch_result_is_named(tmp_path: Path, line: bytes) -> None:
    """As in a file of another kind, or of another prompt."""
    file = tmp_path / "records.jsonl.out"
    file.write_bytes(line)
    with pytest.raises(DataError, match="batch result"):
        list(read_batch_results(file, "m"))
