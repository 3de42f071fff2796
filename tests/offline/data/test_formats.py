"""The same interactions in every kind of file, under every usual name."""

import gzip
import json
from collections.abc import Callable
from dataclasses import astuple
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flagrank.errors import DataError
from flagrank.offline.data.column_names import Reading, parse_columns, parse_weights
from flagrank.offline.data.interactions import Interactions, Item, ItemAttribute
from flagrank.offline.data.sources import read_dataset
from flagrank.offline.data.tabular import read
from tests.offline.conftest import BUCKET

ROWS = [(1, 10, 4.5, 100), (2, 11, 1.0, 200), (1, 12, 3.0, 300)]
NAMES = ("user_id", "item_id", "rating", "timestamp")


def separated(delimiter: str) -> str:
    """The rows as text."""
    return "\n".join(delimiter.join(map(str, row)) for row in (NAMES, *ROWS)) + "\n"


def json_lines() -> str:
    """The rows as one object a line."""
    return "".join(json.dumps(dict(zip(NAMES, row, strict=True))) + "\n" for row in ROWS)


def write_by_duckdb(path: Path, options: str) -> None:
    """The rows as a file that DuckDB writes."""
    values = ", ".join(map(str, ROWS))
    duckdb.sql(f"COPY (SELECT * FROM (VALUES {values}) AS t({', '.join(NAMES)})) TO '{path}' ({options})")


WRITERS: dict[str, Callable[[Path], Any]] = {
    "a.csv": lambda path: path.write_text(separated(",")),
    "a.tsv": lambda path: path.write_text(separated("\t")),
    "semicolons.csv": lambda path: path.write_text(separated(";")),
    "no suffix": lambda path: path.write_text(separated("|")),
    "export[1].csv": lambda path: path.write_text(separated(",")),
    "a.csv.gz": lambda path: path.write_bytes(gzip.compress(separated(",").encode())),
    "a.csv.zst": lambda path: write_by_duckdb(path, "FORMAT csv, COMPRESSION zstd"),
    "a.jsonl": lambda path: path.write_text(json_lines()),
    "a.jsonl.gz": lambda path: path.write_bytes(gzip.compress(json_lines().encode())),
    "jsonl without suffix": lambda path: path.write_text(json_lines()),
    "a.parquet": lambda path: write_by_duckdb(path, "FORMAT parquet"),
    "parquet without suffix": lambda path: write_by_duckdb(path, "FORMAT parquet"),
}


def lists(interactions: Interactions) -> list[Any]:
    """All columns as lists."""
    return [column.tolist() for column in (interactions.users, interactions.items, interactions.values)] + [
        interactions.timestamps.tolist()
    ]


@pytest.mark.parametrize("name", WRITERS)
def test_each_kind_of_file_holds_the_same(tmp_path: Path, name: str) -> None:
    """By its suffix, or by how it begins."""
    WRITERS[name](tmp_path / name)
    dataset = read(tmp_path / name)
    assert lists(dataset.interactions) == [list(column) for column in zip(*ROWS, strict=True)]
    assert [column.dtype.kind for column in astuple(dataset.interactions)] == ["i", "i", "f", "i"]
    assert (dataset.timed, dataset.notes) == (True, ())


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.csv.zst", "a.jsonl", "a.parquet"])
def test_a_folder_holds_any_kind(tmp_path: Path, name: str) -> None:
    """Under the names that are looked for."""
    WRITERS[name](tmp_path / f"events{name.removeprefix('a')}")
    assert len(read_dataset(str(tmp_path)).interactions) == len(ROWS)


def test_two_files_of_one_meaning_are_refused(tmp_path: Path) -> None:
    """Which one was meant is not guessed."""
    for name in ("a.csv", "a.parquet"):
        WRITERS[name](tmp_path / f"interactions{name.removeprefix('a')}")
    with pytest.raises(DataError, match=r"interactions\.parquet: lies beside interactions\.csv; keep one"):
        read(tmp_path)


@pytest.mark.parametrize(
    "header",
    [
        "userId,movieId,rating,timestamp",
        "USER,Item,score,ts",
        "visitorid,product_id,stars,event_time",
        "uid,sku,weight,date",
    ],
)
def test_usual_names_are_recognised(tmp_path: Path, header: str) -> None:
    """However they are written, and nothing of them is ignored."""
    (tmp_path / "a.csv").write_text(f"{header}\n1,10,4.5,100\n")
    dataset = read(tmp_path / "a.csv")
    assert lists(dataset.interactions) == [[1], [10], [4.5], [100]]
    assert dataset.notes == ()


def test_other_names_are_chosen(tmp_path: Path) -> None:
    """A chosen column wins over one with a usual name, which is then ignored, and said to be."""
    (tmp_path / "a.csv").write_text("who,what,timestamp,when,user_id\nann,lamp,7,100,x\n")
    chosen = parse_columns("user=who, item=what, time=when")
    dataset = read(tmp_path / "a.csv", Reading(chosen))
    assert lists(dataset.interactions) == [["ann"], ["lamp"], [1.0], [100]]
    assert dataset.notes == (f"{tmp_path}/a.csv: ignored: 'timestamp', 'user_id'",)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("user", "expected user=NAME,item=NAME, each name once, got 'user'"),
        ("user=a,user=b", "each name once"),
        ("user=", "each name once"),
        ("buyer=a", "expected one of user, item, rating, time, event, title, category, description before the ="),
    ],
)
def test_columns_that_say_nothing_are_refused(text: str, expected: str) -> None:
    """With what is expected."""
    with pytest.raises(DataError, match=expected):
        parse_columns(text)


def test_a_chosen_column_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """With the names that are there."""
    (tmp_path / "a.csv").write_text("who,what\nann,lamp\n")
    with pytest.raises(DataError, match=r"^--columns: .*a\.csv has no column 'whom' for user; it has who, what"):
        read(tmp_path / "a.csv", Reading({"user": "whom", "item": "what"}))


@pytest.mark.parametrize(
    ("written", "unit"),
    [
        ("1700000000000", "milliseconds"),
        ("1700000000000000", "microseconds"),
        ("2023-11-14T22:13:20Z", "ISO 8601"),
        ("2023-11-14 22:13:20", "ISO 8601"),
        ("2023-11-15T00:13:20+02:00", "ISO 8601"),
        ("2023-11-14 22:13:20 UTC", "ISO 8601"),
        ("2023-11-14T22:13:20.250", "ISO 8601"),
    ],
)
def test_times_are_converted_and_it_is_said(tmp_path: Path, written: str, unit: str) -> None:
    """Without a zone they are UTC."""
    (tmp_path / "a.csv").write_text(f"user,item,ts\n1,10,{written}\n")
    dataset = read(tmp_path / "a.csv")
    assert dataset.interactions.timestamps.tolist() == [1_700_000_000]
    assert dataset.notes == (f"{tmp_path}/a.csv: the times in column 'ts' are {unit} and were converted to seconds",)


def test_a_date_is_its_midnight(tmp_path: Path) -> None:
    """As ISO 8601 has it."""
    (tmp_path / "a.csv").write_text("user,item,date\n1,10,2023-11-14\n")
    assert read(tmp_path / "a.csv").interactions.timestamps.tolist() == [1_699_920_000]


def test_parquet_knows_its_own_times(tmp_path: Path) -> None:
    """A column of timestamps needs no guess."""
    duckdb.sql(f"COPY (SELECT 1 AS user, 10 AS item, TIMESTAMP '2023-11-14 22:13:20' AS ts) TO '{tmp_path}/a.parquet'")
    assert read(tmp_path / "a.parquet").interactions.timestamps.tolist() == [1_700_000_000]


@pytest.mark.parametrize(
    ("rows", "line", "unit"),
    [
        (["100", "200", "1700000000000"], 4, "seconds"),
        (["1700000000000", "100", "1700000000001"], 3, "milliseconds"),
        (["2023-11-14", "yesterday", "2023-11-15"], 3, "ISO 8601"),
        (["2023-11-14", "1700000000", "2023-11-15"], 3, "ISO 8601"),
    ],
)
def test_a_time_unlike_the_others_is_refused(tmp_path: Path, rows: list[str], line: int, unit: str) -> None:
    """Two units in one column would put events into another century."""
    (tmp_path / "a.csv").write_text("user,item,ts\n" + "".join(f"1,{row},{row}\n" for row in rows))
    with pytest.raises(DataError) as raised:
        read(tmp_path / "a.csv")
    assert raised.value.line == line
    assert f"in {unit}" in raised.value.expected or unit == "ISO 8601"


EVENTS = "user_id,product_id,event_type\n1,10,view\n1,10,purchase\n1,10,view\n1,11,view\n2,11,cart\n2,12,remove\n"


def test_events_count_what_they_are_given(tmp_path: Path) -> None:
    """A pair is worth the most of its events, and events without a weight are left out and said to be."""
    (tmp_path / "a.csv").write_text(EVENTS)
    dataset = read(tmp_path / "a.csv", Reading(weights=parse_weights("view=1,cart=3,purchase=5")))
    latest = dataset.interactions.latest()
    assert dict(
        zip(latest.items[latest.users == 1].tolist(), latest.values[latest.users == 1].tolist(), strict=True)
    ) == {
        10: 5.0,
        11: 1.0,
    }
    assert latest.items[latest.users == 2].tolist() == [11]
    said = "column 'event_type' weighs the interactions; without a weight and left out: remove (1)"
    assert dataset.notes == (f"{tmp_path}/a.csv: {said}",)


def test_events_without_weights_are_said_to_count_one(tmp_path: Path) -> None:
    """With the types that could be weighed."""
    (tmp_path / "a.csv").write_text(EVENTS)
    dataset = read(tmp_path / "a.csv")
    assert set(dataset.interactions.values.tolist()) == {1.0}
    expected = "is ignored and each event counts one; give --weights for view (3), cart (1), purchase (1), remove (1)"
    assert dataset.notes == (f"{tmp_path}/a.csv: column 'event_type' {expected}",)


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        ({"veiw": 1.0}, r"^--weights: no event 'veiw' in .*a\.csv, which has view \(3\)"),
        ({"view": 1.0}, r"^--weights: .*b\.csv has no column of event types; name it: --columns event=NAME"),
    ],
)
def test_weights_that_fit_no_event_are_refused(tmp_path: Path, weights: dict[str, float], expected: str) -> None:
    """A typing error would otherwise leave an event out."""
    (tmp_path / "a.csv").write_text(EVENTS)
    (tmp_path / "b.csv").write_text("user,item\n1,10\n")
    with pytest.raises(DataError, match=expected):
        read(tmp_path / ("a.csv" if "veiw" in weights else "b.csv"), Reading(weights=weights))


@pytest.mark.parametrize("text", ["view", "view=0", "view=-1", "view=much", "view=1,view=2", "view=nan"])
def test_weights_that_weigh_nothing_are_refused(text: str) -> None:
    """With what is expected."""
    with pytest.raises(DataError, match=r"^--weights: expected "):
        parse_weights(text)


def test_a_log_of_a_shop_says_what_its_items_are(tmp_path: Path) -> None:
    """Category, brand and the last price are kept, and the session is ignored and said to be."""
    (tmp_path / "shop.csv").write_text(
        "event_time,product_id,category_code,brand,price,user_id,user_session\n"
        "2019-11-01 00:00:00 UTC,10,home.lamp,acme,9.50,1,s1\n"
        "2019-11-02 00:00:00 UTC,10,home.lamp,,8.25,1,s2\n"
        "2019-11-03 00:00:00 UTC,11,,,,1,s2\n"
    )
    dataset = read(tmp_path / "shop.csv")
    assert dataset.items == {10: Item("Item 10", "home.lamp", "acme"), 11: Item("Item 11", "unknown", "")}
    assert dataset.attributes == {
        "brand": ItemAttribute("text", {10: "acme"}),
        "price": ItemAttribute("number", {10: 8.25}),
    }
    assert dataset.notes[-1] == f"{tmp_path}/shop.csv: ignored: 'user_session'"


def test_movielens_large_files_are_read_as_they_are(tmp_path: Path) -> None:
    """`ratings.csv` and `movies.csv`, whose genres are a list in one field."""
    (tmp_path / "ratings.csv").write_text("userId,movieId,rating,timestamp\n1,10,4.5,100\n")
    (tmp_path / "movies.csv").write_text('movieId,title,genres\n10,"Lamp, The (1999)",Comedy|Drama\n')
    dataset = read(tmp_path)
    assert dataset.items == {10: Item("Lamp, The (1999)", "Comedy", "Comedy Drama")}
    assert dataset.notes == ()


def test_attributes_without_a_type_get_the_type_of_their_values(tmp_path: Path) -> None:
    """Under a name that filters can use; what cannot be an attribute is ignored, and said to be."""
    (tmp_path / "ratings.csv").write_text("user,item\n1,10\n1,11\n")
    long = "x" * 129
    (tmp_path / "items.csv").write_text(
        f"item,title,Price EUR,stock,brand,notes,2nd\n10,Lamp,9,1,007,{long},a\n11,Cup,9.5,,Acme,,b\n"
    )
    dataset = read(tmp_path)
    assert dataset.attributes == {
        "price_eur": ItemAttribute("number", {10: 9.0, 11: 9.5}),
        "stock": ItemAttribute("integer", {10: 1}),
        "brand": ItemAttribute("text", {10: "007", 11: "Acme"}),
    }
    assert dataset.notes == (f"{tmp_path}/items.csv: ignored: '2nd', 'notes'",)
    assert dataset.items[11].description == "Acme"


def test_nested_json_and_large_numbers_stay_as_they_are(tmp_path: Path) -> None:
    """An id that no integer holds is a text, and a list is a text as well."""
    row = {"user": 12345678901234567890, "item": "a", "title": "Lamp", "brand": ["x"]}
    (tmp_path / "a.jsonl").write_text(json.dumps(row) + "\n\n")
    dataset = read(tmp_path / "a.jsonl")
    assert lists(dataset.interactions)[:2] == [["12345678901234567890"], ["a"]]
    assert dataset.attributes["brand"].values == {"a": '["x"]'}


def test_floats_that_pandas_made_of_integers_are_integers(tmp_path: Path) -> None:
    """One missing value turns a column of integers into floats there."""
    duckdb.sql(f"COPY (SELECT 1.0::DOUBLE AS user, 10.0::DOUBLE AS item) TO '{tmp_path}/a.parquet'")
    assert lists(read(tmp_path / "a.parquet").interactions)[:2] == [[1], [10]]


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.parquet", b"PAR1 not", r"a\.parquet: cannot be read: "),
        ("a.jsonl", b'{"user": 1, "item": 2}\n{"user": \n', r"a\.jsonl: cannot be read: Malformed JSON"),
        ("a.jsonl", b"[1, 2]\n", r"a\.jsonl:1: expected the columns user_id,item_id"),
        ("a.csv.gz", b"user,item\n1,2\n", r"a\.csv\.gz: cannot be read: "),
        ("a.csv", "user,item\n1,2\n".encode("utf-16"), r"a\.csv: expected UTF-8|a\.csv:1: expected the columns"),
    ],
)
def test_a_file_that_is_not_what_it_seems_is_refused(tmp_path: Path, name: str, content: bytes, expected: str) -> None:
    """The path comes first."""
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=expected):
        read(tmp_path / name)


def test_a_bad_row_of_parquet_is_named_by_its_number(tmp_path: Path) -> None:
    """It has no lines."""
    duckdb.sql(f"COPY (SELECT * FROM (VALUES ('a', 'x'), ('b', '')) AS t(user, item)) TO '{tmp_path}/a.parquet'")
    with pytest.raises(DataError, match=r"a\.parquet: row 2: expected 1 to 128 characters as item"):
        read(tmp_path / "a.parquet")


def test_a_bad_row_behind_a_line_break_in_a_field_is_named_by_its_line(tmp_path: Path) -> None:
    """Rows and lines are two things."""
    (tmp_path / "a.csv").write_text('user,item,rating\n"a\nb",x,1\n\nc,y,no\n')
    with pytest.raises(DataError, match=r"a\.csv:5: expected a rating"):
        read(tmp_path / "a.csv")


def test_the_order_of_a_large_file_is_kept(tmp_path: Path) -> None:
    """DuckDB reads it in parallel; the row's number stands for the time."""
    count = 130_000
    (tmp_path / "a.csv").write_text("user,item\n" + "".join(f"u{row % 977},i{row}\n" for row in range(count)))
    interactions = read(tmp_path / "a.csv").interactions
    assert interactions.items[[0, 1, 125_000, -1]].tolist() == ["i0", "i1", "i125000", f"i{count - 1}"]
    assert np.array_equal(interactions.timestamps, np.arange(2, count + 2))


TEXTS = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Zs", "Zl", "Zp")), min_size=1, max_size=20
)


@settings(max_examples=8, deadline=None)
@given(st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=8))
def test_whatever_ids_are_they_come_back(
    tmp_path_factory: pytest.TempPathFactory, pairs: list[tuple[str, str]]
) -> None:
    """Quotes, delimiters and every script, in CSV and in JSON lines alike."""
    folder = tmp_path_factory.mktemp("ids")
    quoted = [[f'"{text.replace(chr(34), chr(34) * 2)}"' for text in pair] for pair in pairs]
    (folder / "a.csv").write_text("user,item\n" + "".join(f"{user},{item}\n" for user, item in quoted))
    (folder / "a.jsonl").write_text("".join(json.dumps({"user": user, "item": item}) + "\n" for user, item in pairs))
    found = [lists(read(folder / name).interactions) for name in ("a.csv", "a.jsonl")]
    assert found[0] == found[1]
    assert [[*map(str, column)] for column in found[0][:2]] == [list(column) for column in zip(*pairs, strict=True)]


def test_a_file_in_s3_is_read(s3: Any) -> None:
    """By its address, which errors and notes keep."""
    s3.put_object(Bucket=BUCKET, Key="raw/ratings.csv", Body=b"user,item,when\n1,10,x\n")
    dataset = read_dataset(f"s3://{BUCKET}/raw/ratings.csv")
    assert (dataset.name, len(dataset.interactions)) == ("ratings.csv", 1)
    assert dataset.notes == (f"s3://{BUCKET}/raw/ratings.csv: ignored: 'when'",)
    s3.put_object(Bucket=BUCKET, Key="raw/ratings.csv", Body=b"user,item\n1\n")
    with pytest.raises(DataError, match=rf"^s3://{BUCKET}/raw/ratings\.csv:2: expected 2 fields"):
        read_dataset(f"s3://{BUCKET}/raw/ratings.csv")


def test_a_folder_in_s3_is_read(s3: Any) -> None:
    """With the items beside it, and not what lies deeper."""
    s3.put_object(Bucket=BUCKET, Key="raw/ratings.csv", Body=b"user,item\n1,10\n")
    s3.put_object(Bucket=BUCKET, Key="raw/items.csv", Body=b"item,title\n10,Lamp\n")
    s3.put_object(Bucket=BUCKET, Key="raw/old/ratings.csv", Body=b"nonsense")
    dataset = read_dataset(f"s3://{BUCKET}/raw/")
    assert (dataset.name, dataset.items[10].title) == ("raw", "Lamp")


@pytest.mark.parametrize(
    ("data", "expected"),
    [(f"s3://{BUCKET}/none", "no such object, and nothing under it"), ("s3://", "expected s3://BUCKET/KEY")],
)
def test_an_address_without_data_is_refused(s3: Any, data: str, expected: str) -> None:
    """With the address as it was given."""
    with pytest.raises(DataError, match=f"^{data}: {expected}"):
        read_dataset(data)


def test_options_for_files_are_refused_where_columns_are_known() -> None:
    """Ignored, they would promise something else than what runs."""
    with pytest.raises(DataError, match="its columns are known: --columns and --weights are for other files"):
        read_dataset("synthetic", reading=Reading(weights={"view": 1.0}))
