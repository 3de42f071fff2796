"""The reader of MovieLens 100K's folder, on a tiny folder of the same form."""

from pathlib import Path

import pytest

from flagrank.errors import DataError
from flagrank.offline.data.interactions import Item
from flagrank.offline.data.movielens import read
from flagrank.offline.data.sources import read_dataset
from tests.offline.ml100k import FOLDER, needs_ml100k

GENRES = "unknown|0\nTense|1\nMerry|2\n\n"
ITEMS = (
    "1|Café of Glass (1987)|01-Jan-1987||http://example/1|0|1|1\n"
    "2|Ninth Harbour|||http://example/2|1|0|0\n"
    "3|Untold (2001)||||0|0|0\n"
)
BASE = "1\t1\t5\t100\n1\t2\t3\t200\n2\t1\t1\t300\n"
TEST = "2\t3\t4\t400\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in {"u.genre": GENRES, "u.item": ITEMS, "ua.base": BASE, "ua.test": TEST}.items():
        (tmp_path / name).write_text(text, "latin-1")
    return tmp_path


def test_ratings_and_items_are_read(folder: Path) -> None:
    """The base to train on, the test held out; category is the first genre, the decade joins the description."""
    dataset = read(folder)
    rows, held_out = dataset.interactions, dataset.held_out
    assert held_out is not None
    assert rows.users.tolist() == [1, 1, 2]
    assert rows.items.tolist() == [1, 2, 1]
    assert rows.values.tolist() == [5, 3, 1]
    assert rows.timestamps.tolist() == [100, 200, 300]
    assert held_out.items.tolist() == [3]
    assert dataset.items == {
        1: Item("Café of Glass (1987)", "Tense", "Tense Merry 1980s"),
        2: Item("Ninth Harbour", "unknown", "unknown"),
        3: Item("Untold (2001)", "unknown", "2000s"),
    }


def test_a_folder_with_u_item_is_taken_for_movielens(folder: Path) -> None:
    """`--data DIR --split ub` reads that split."""
    (folder / "ua.base").rename(folder / "ub.base")
    (folder / "ua.test").rename(folder / "ub.test")
    assert read_dataset(str(folder), "ub").name == "MovieLens 100K, ub"


def test_windows_line_ends_are_line_ends(folder: Path) -> None:
    """A folder unpacked on Windows reads the same."""
    before = read(folder).items
    (folder / "u.item").write_bytes(ITEMS.replace("\n", "\r\n").encode("latin-1"))
    assert read(folder).items == before


@pytest.mark.parametrize("name", ["u.item", "ua.base", "ua.test"])
def test_empty_lines_at_the_end_are_no_rows(folder: Path, name: str) -> None:
    """Editors leave them."""
    before = read(folder)
    with (folder / name).open("a") as file:
        file.write("\n\n")
    after = read(folder)
    assert after.items == before.items
    assert len(after.interactions) == len(before.interactions)


def test_a_control_character_in_a_title_ends_no_line(folder: Path) -> None:
    """0x85 is a line break to Unicode and an ellipsis to who typed it."""
    (folder / "u.item").write_text(ITEMS.replace("Ninth ", "Ninth\x85 "), "latin-1")
    assert read(folder).items[2].title == "Ninth\x85 Harbour"


@pytest.mark.parametrize(
    "row", ["1\t1\t6\t100", "1\t1\t0\t100", "1,1,5,100", "1\t1\t5", "x\t1\t5\t1", "", "1\t1\t5\t1\t9"]
)
def test_a_bad_rating_is_named_by_file_and_line(folder: Path, row: str) -> None:
    """Whatever is wrong with it, the reader says where, and what it expected."""
    (folder / "ua.test").write_text(f"{TEST}{row}\n{TEST}")
    with pytest.raises(DataError, match=r"/ua\.test:2: expected user, item, rating 1\.\.5 and timestamp") as raised:
        read(folder)
    assert (raised.value.file, raised.value.line) == (str(folder / "ua.test"), 2)


@pytest.mark.parametrize("row", ["4|Too Few||||1|0", "4|Too Many||||1|0|0|0", "x|No Id||||1|0|0", "|||||||"])
def test_a_bad_item_is_named_by_file_and_line(folder: Path, row: str) -> None:
    """An item has an id, four texts and a flag for each genre."""
    (folder / "u.item").write_text(f"{ITEMS}{row}\n", "latin-1")
    with pytest.raises(DataError, match=r"/u\.item:4: expected an id, four texts and 3 genre flags"):
        read(folder)


@pytest.mark.parametrize("name", ["u.genre", "u.item", "ua.base", "ua.test"])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    """Each file is needed."""
    (folder / name).unlink()
    with pytest.raises(DataError, match=rf"/{name}: cannot be read: No such file"):
        read(folder)


def test_a_base_that_holds_some_of_the_test_is_refused(folder: Path) -> None:
    """Whatever would be measured on it would be too good; the number of pairs tells how bad it is."""
    (folder / "ua.test").write_text(TEST + "1\t1\t5\t100\n1\t2\t1\t900\n")
    with pytest.raises(DataError, match=r"/ua\.base: expected none of the user-item pairs of ua\.test, found 2; get"):
        read(folder)


def test_an_empty_split_is_refused(folder: Path) -> None:
    """A base without ratings is no base."""
    (folder / "ua.base").write_text("")
    with pytest.raises(DataError, match=r"/ua\.base:1: expected user"):
        read(folder)


@pytest.mark.parametrize("text", ["", "Tense"])
def test_genres_without_names_are_refused(folder: Path, text: str) -> None:
    """`u.genre` decides how many flags an item has, so it must hold some."""
    (folder / "u.genre").write_text(text)
    with pytest.raises(DataError, match=r"/u\.genre: expected lines of genre\|number"):
        read(folder)


@needs_ml100k
def test_the_real_split_is_read_whole() -> None:
    """90,570 ratings of 943 users to train on, ten of each user held out, none in both."""
    dataset = read(FOLDER)
    rows, held_out = dataset.interactions, dataset.held_out
    assert held_out is not None
    assert (len(rows), len(held_out)) == (90_570, 9_430)
    assert len(set(rows.users.tolist())) == len(set(held_out.users.tolist())) == 943
    kept = set(zip(rows.users.tolist(), rows.items.tolist(), strict=True))
    assert not kept & set(zip(held_out.users.tolist(), held_out.items.tolist(), strict=True))
    assert set(rows.items.tolist()) <= dataset.items.keys()
    assert len(dataset.items) == 1682
