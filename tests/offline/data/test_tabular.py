"""The CSV reader."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flagrank.errors import DataError
from flagrank.model.factors import Lexicon
from flagrank.offline.data.interactions import SYNTHETIC, Item, ItemAttribute, ids_array
from flagrank.offline.data.sources import read_dataset
from flagrank.offline.data.tabular import read

HEADER = "user_id,item_id,rating,timestamp\n"
TIMESTAMP = "expected a timestamp as seconds, milliseconds or microseconds since 1970, or as ISO 8601"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "interactions.csv"


def test_all_four_columns_are_read(file: Path) -> None:
    """Integer ids stay integers."""
    file.write_text(HEADER + "1,10,4.5,100\n2,11,1,200\n")
    rows = read(file).interactions
    assert rows.users.tolist() == [1, 2]
    assert rows.items.tolist() == [10, 11]
    assert rows.values.tolist() == [4.5, 1.0]
    assert rows.timestamps.tolist() == [100, 200]


def test_rating_and_timestamp_are_optional(file: Path) -> None:
    """Without them, or with empty fields, each row counts one and rows are in time order."""
    file.write_text("user_id,item_id\n1,10\n1,11\n")
    bare = read(file).interactions
    file.write_text(HEADER + "1,10,,\n1,11,,\n")
    empty = read(file).interactions
    for rows in (bare, empty):
        assert rows.values.tolist() == [1, 1]
        assert rows.timestamps.tolist() == [2, 3]


def test_columns_may_come_in_any_order_and_company(file: Path) -> None:
    """Columns go by name; others are ignored."""
    file.write_text("note,item_id,user_id\nhello,10,1\n")
    rows = read(file).interactions
    assert (rows.users.tolist(), rows.items.tolist()) == ([1], [10])


def test_a_byte_order_mark_and_quotes_are_understood(file: Path) -> None:
    """What spreadsheets write."""
    file.write_bytes(b'\xef\xbb\xbfuser_id,item_id\r\n"ann, of York","a ""b"""\r\n')
    rows = read(file).interactions
    assert (rows.users.tolist(), rows.items.tolist()) == (["ann, of York"], ['a "b"'])


def test_ids_of_two_kinds_all_become_text(file: Path) -> None:
    """One id that is no integer makes every id a string: callers expect one type."""
    file.write_text("user_id,item_id\n1,10\n2,sku-11\n")
    rows = read(file).interactions
    assert (rows.users.tolist(), rows.items.tolist()) == (["1", "2"], ["10", "sku-11"])


@pytest.mark.parametrize("raw", ["007", "+1", "1_0", "-0", "1000000000000000000", "٣"])
def test_an_id_that_would_change_as_an_integer_stays_text(raw: str) -> None:
    """Ids come back as they were given."""
    assert ids_array(["1", raw]).tolist() == ["1", raw]


@given(st.lists(st.integers(-(10**18) + 1, 10**18 - 1), min_size=1))
def test_canonical_integers_of_up_to_18_digits_are_integers(values: list[int]) -> None:
    """The range that serving accepts, and no rounding inside it."""
    assert ids_array([str(value) for value in values]).tolist() == values


def test_a_repeated_pair_keeps_its_latest_row(file: Path) -> None:
    """Latest by timestamp, not by place in the file."""
    file.write_text(HEADER + "1,10,2,100\n1,10,5,300\n1,10,3,200\n1,11,1,50\n")
    latest = read(file).interactions.latest()
    assert latest.items.tolist() == [11, 10]
    assert latest.values.tolist() == [1, 5]


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ("1", "expected 4 fields"),
        ("1,10,3,100,9", "expected 4 fields"),
        (",10,3,100", "expected 1 to 128 characters as user_id"),
        ("1, ,3,100", "expected 1 to 128 characters as item_id"),
        (f"1,{'x' * 129},3,100", "expected 1 to 128 characters as item_id"),
        ("1,10,good,100", "expected a rating above 0 and up to 1e+15, got 'good'"),
        ("1,10,0,100", "expected a rating above 0 and up to 1e+15, got '0'"),
        ("1,10,-2,100", "expected a rating above 0 and up to 1e+15, got '-2'"),
        ("1,10,nan,100", "expected a rating above 0 and up to 1e+15, got 'nan'"),
        ("1,10,1e39,100", "expected a rating above 0 and up to 1e+15, got '1e39'"),
        ("1,10,3,yesterday", f"{TIMESTAMP}, in seconds as most rows here, got 'yesterday'"),
        ("1,10,3,1e30", f"{TIMESTAMP}, in seconds as most rows here, got '1e30'"),
        ("1,10,3,inf", f"{TIMESTAMP}, in seconds as most rows here, got 'inf'"),
        ("1,10,3,-1", f"{TIMESTAMP}, in seconds as most rows here, got '-1'"),
        ("1,10,3,1764000000000", f"{TIMESTAMP}, in seconds as most rows here, got '1764000000000'"),
        ("1,10,3,", "expected a timestamp, as in the rows before: all rows have one, or none has"),
        ('"1"0,10,3,100', "expected valid CSV: ',' expected after '\"'"),
    ],
)
def test_a_bad_row_is_named_by_file_and_line(file: Path, row: str, expected: str) -> None:
    """The reader says where, what it expected, and what it got."""
    file.write_text(f"{HEADER}1,10,3,100\n{row}\n1,11,3,100\n")
    with pytest.raises(DataError) as raised:
        read(file)
    assert (raised.value.file, raised.value.line, raised.value.expected) == (str(file), 3, expected)


@pytest.mark.parametrize("header", ["", "who,what\n", "user_id,rating\n"])
def test_missing_columns_are_named(file: Path, header: str) -> None:
    """The header must hold both ids."""
    file.write_text(f"{header}1,10\n")
    with pytest.raises(DataError, match=r"interactions\.csv:1: expected the columns user_id,item_id\[,rating\]"):
        read(file)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (HEADER.encode(), "holds no interactions"),
        (HEADER.encode() + b"caf\xe9,1,1,1\n", "expected UTF-8"),
        (HEADER.encode() + b'"1,10,3,100\n', r"interactions\.csv:2: expected valid CSV: unexpected end of data"),
    ],
)
def test_a_file_that_is_no_csv_of_interactions_is_refused(file: Path, content: bytes, expected: str) -> None:
    """Empty, in another encoding, or with a quote left open."""
    file.write_bytes(content)
    with pytest.raises(DataError, match=expected):
        read(file)


def test_a_timestamp_after_rows_without_one_is_refused(file: Path) -> None:
    """A row's number and a time do not compare."""
    file.write_text(f"{HEADER}1,10,3,\n1,11,3,\n1,12,3,100\n")
    with pytest.raises(DataError, match=r"interactions\.csv:4: expected no timestamp, as in the rows before"):
        read(file)


@pytest.mark.parametrize(("timestamp", "timed"), [("100", True), ("0", True), ("", False)])
def test_whether_rows_have_times_is_known(file: Path, timestamp: str, timed: bool) -> None:
    """What is learned from times is left out where there are none; a time of 0 is one."""
    file.write_text(f"{HEADER}1,10,3,{timestamp}\n1,11,3,{timestamp}\n")
    assert read(file).timed is timed


def test_time_may_begin_at_nought(file: Path) -> None:
    """A log that counts its own seconds starts there."""
    file.write_text(f"{HEADER}1,10,3,0\n")
    assert read(file).interactions.timestamps.tolist() == [0]


def test_empty_lines_are_no_rows(file: Path) -> None:
    """Least of all at the end, and line numbers still count them."""
    file.write_text(f"{HEADER}1,10,3,100\n\n\n")
    assert len(read(file).interactions) == 1
    file.write_text(f"{HEADER}\n1,10,3,100\n,11,3,100\n")
    with pytest.raises(DataError, match=r"interactions\.csv:4: "):
        read(file)


def test_a_folder_without_interactions_is_refused(tmp_path: Path) -> None:
    """The folder is named, and what it may hold."""
    with pytest.raises(DataError, match=f"^{tmp_path}: holds none of interactions, ratings, events as .csv"):
        read(tmp_path)


def test_a_path_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    """`--data` says what it would take instead."""
    with pytest.raises(DataError, match="no such file or folder; give 'synthetic'"):
        read_dataset(str(tmp_path / "nowhere"))


def test_a_split_of_what_has_none_is_refused(file: Path) -> None:
    """Ignored, it would promise another experiment than the one that runs."""
    file.write_text("user_id,item_id\n1,10\n")
    for data in (SYNTHETIC, str(file), str(file.parent)):
        with pytest.raises(DataError, match="has no split 'ub': --split is for MovieLens 100K's folder alone"):
            read_dataset(data, "ub")


def test_texts_and_vocabulary_beside_the_interactions_are_read(file: Path) -> None:
    """`items.csv` with optional columns, and `lexicon.json`."""
    file.write_text("user_id,item_id\n1,10\n1,11\n")
    file.with_name("items.csv").write_text("item_id,title,category,description\n10,Lamp,home,bright\n11,Cup,,\n")
    file.with_name("lexicon.json").write_text('{"synonyms": {"mug": "cup"}, "expansions": {"tea": ["cup"]}}')
    dataset = read_dataset(str(file.parent))
    assert dataset.items == {10: Item("Lamp", "home", "bright"), 11: Item("Cup", "unknown", "")}
    assert dataset.lexicon == Lexicon({"mug": "cup"}, {"tea": ("cup",)})


def test_item_texts_follow_the_interactions_id_type(file: Path) -> None:
    """String ids there are string ids here, even where they look like integers."""
    file.write_text("user_id,item_id\nann,10\n")
    file.with_name("items.csv").write_text("item_id,title\n10,Lamp\n")
    assert list(read(file.parent).items) == ["10"]


@pytest.mark.parametrize("raw", ["sku-1", "--5", "٣", "1.0", "-", "9" * 19])
def test_an_item_id_of_another_type_is_refused(file: Path, raw: str) -> None:
    """An item that no interaction could name is a mistake."""
    file.write_text("user_id,item_id\n1,10\n")
    file.with_name("items.csv").write_text(f"item_id,title\n10,Lamp\n{raw},Cup\n")
    with pytest.raises(DataError, match=r"/items\.csv:3: expected an integer item_id as in the interactions"):
        read(file.parent)


@pytest.mark.parametrize("text", ["{", "[]", '{"synonym": {}}', '{"expansions": {"tea": "cup"}}'])
def test_a_bad_vocabulary_is_refused(file: Path, text: str) -> None:
    """Broken JSON, unknown fields or other types."""
    file.write_text("user_id,item_id\n1,10\n")
    file.with_name("lexicon.json").write_text(text)
    with pytest.raises(DataError, match=r"/lexicon\.json: expected synonyms and expansions: "):
        read(file.parent)


def test_an_unreadable_vocabulary_is_refused(file: Path) -> None:
    """A folder of that name is no vocabulary."""
    file.write_text("user_id,item_id\n1,10\n")
    file.with_name("lexicon.json").mkdir()
    with pytest.raises(DataError, match=r"/lexicon\.json: cannot be read: Is a directory"):
        read(file.parent)


def test_typed_columns_of_the_items_are_attributes(file: Path) -> None:
    """The header declares them, and an empty field is a missing value; without a type the values decide."""
    file.write_text("user_id,item_id\n1,10\n1,11\n")
    rows = "item_id,price:number,title,stock:integer,note,brand:text\n10, 49.90 ,Lamp,0,new,Acme\n11,,Cup,,old,\n"
    file.with_name("items.csv").write_text(rows)
    dataset = read_dataset(str(file.parent))
    assert dataset.attributes == {
        "price": ItemAttribute("number", {10: 49.9}),
        "stock": ItemAttribute("integer", {10: 0}),
        "brand": ItemAttribute("text", {10: "Acme"}),
        "note": ItemAttribute("text", {10: "new", 11: "old"}),
    }


def test_the_last_row_of_an_item_says_what_it_has(file: Path) -> None:
    """As with its texts; what is empty there is missing."""
    file.write_text("user_id,item_id\n1,10\n")
    file.with_name("items.csv").write_text("item_id,title,price:number,stock:integer\n10,Old,5,7\n10,New,6,\n")
    attributes = read(file.parent).attributes
    assert (attributes["price"].values, attributes["stock"].values) == ({10: 6.0}, {})


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        ("price:float", "expected the type number, integer, text after the colon in 'price:float'"),
        ("price:", "expected the type number, integer, text after the colon in 'price:'"),
        ("Price:number", "expected an attribute's name of a-z, 0-9 and _, a letter first, of at most 32 characters"),
        (f"{'p' * 33}:number", "expected an attribute's name of a-z"),
        ("1st:number", "expected an attribute's name of a-z"),
        (" price:number", "expected an attribute's name of a-z"),
        ("category:text", "none of category, description, item_id, title, in 'category:text'"),
        ("brand:text,brand:integer", "expected one column of the attribute 'brand', found 2"),
        ("brand:text,brand:text", "expected one column of the attribute 'brand', found 2"),
        (",".join(f"a{number}:text" for number in range(33)), "expected at most 32 attributes, found 33"),
    ],
)
def test_a_header_that_declares_no_attribute_is_refused(file: Path, column: str, expected: str) -> None:
    """Before any row is read: the error names the header's line and what would do."""
    file.write_text("user_id,item_id\n1,10\n")
    file.with_name("items.csv").write_text(f"item_id,title,{column}\n")
    with pytest.raises(DataError) as raised:
        read(file.parent)
    assert (raised.value.file, raised.value.line) == (str(file.with_name("items.csv")), 1)
    assert expected in raised.value.expected


@pytest.mark.parametrize(
    ("column", "field", "expected"),
    [
        ("price:number", "cheap", "expected as price a number such as 49.90, got 'cheap'"),
        ("price:number", "nan", "expected as price a number such as 49.90, got 'nan'"),
        ("stock:integer", "1.5", "expected as stock an integer of up to 18 digits, got '1.5'"),
        ("brand:text", "x" * 129, "expected as brand a text of 1 to 128 characters, got 129"),
    ],
)
def test_a_value_of_another_type_is_refused(file: Path, column: str, field: str, expected: str) -> None:
    """The error names file, line, attribute and what came."""
    file.write_text("user_id,item_id\n1,10\n")
    file.with_name("items.csv").write_text(f"item_id,title,{column}\n10,Lamp,\n11,Cup,{field}\n")
    with pytest.raises(DataError) as raised:
        read(file.parent)
    assert (raised.value.file, raised.value.line) == (str(file.with_name("items.csv")), 3)
    assert raised.value.expected == expected
