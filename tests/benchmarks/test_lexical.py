"""The lexical source beside bm25s, rank_bm25 and SQLite FTS5: `uv run pytest tests/benchmarks/test_lexical.py -s`."""

import difflib
import sqlite3
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, fields
from typing import Any

import bm25s  # type: ignore[import-untyped]
import numpy as np
import pytest
import rank_bm25  # type: ignore[import-untyped]

from flagrank.candidates.lexical import lexical_top_k
from flagrank.candidates.spelling import corrections
from flagrank.model.arrays import NO_ROWS, Rows
from flagrank.model.lexical import LexicalIndex, build_lexical_index
from flagrank.model.vocabulary import Vocabulary

WORDS = 50_000
WORDS_A_TEXT = 10
K = 100
SEEN = 200
QUERIES = 200
LIMIT_MS = 1.0
LETTERS = "etaoinshrdlcumwfgypbvkjxqz"

type Search = Callable[[list[str], Rows], Any]


@dataclass(frozen=True, slots=True)
class Engine:
    """One contestant: its search, the bytes of its index, the seconds that building took, and its rounds."""

    search: Search
    index_bytes: int | None
    build_s: float
    rounds: int


def zipf_texts(items: int, seed: int = 1) -> list[str]:
    """Ten words by Zipf's law for each item, each token once a text, as rewritten texts are."""
    rng = np.random.default_rng(seed)
    shares = np.cumsum(1 / np.arange(1, WORDS + 1))
    drawn = np.searchsorted(shares / shares[-1], rng.random((items, WORDS_A_TEXT)))
    names = [f"word{number}" for number in range(WORDS)]
    return [" ".join(dict.fromkeys(names[number] for number in row)) for row in drawn.tolist()]


def queries_of(texts: Sequence[str], words: int, count: int = QUERIES) -> list[list[str]]:
    """So many words of one item, for items drawn at random."""
    rng = np.random.default_rng(2)
    chosen = [texts[row].split() for row in rng.integers(len(texts), size=count)]
    return [rng.permutation(tokens)[:words].tolist() for tokens in chosen]


def lexical_bytes(index: LexicalIndex) -> int:
    return sum(int(getattr(index, field.name).nbytes) for field in fields(index))


def ours(texts: Sequence[str]) -> tuple[Engine, LexicalIndex]:
    started = time.perf_counter()
    index = build_lexical_index(texts)
    index.warm()
    built = time.perf_counter() - started

    def search(words: list[str], masked: Rows) -> Any:
        return lexical_top_k(index, dict.fromkeys(words, 1.0), K, masked)

    return Engine(search, lexical_bytes(index), built, QUERIES), index


def bm25s_engine(texts: Sequence[str], rounds: int) -> Engine:
    """Of the same BM25; the seen items are masked by a factor for each item."""
    started = time.perf_counter()
    index = bm25s.BM25(k1=1.2, b=0.75, method="lucene")
    index.index([text.split() for text in texts], show_progress=False)
    built = time.perf_counter() - started
    mask = np.ones(len(texts), np.float32)

    def search(words: list[str], masked: Rows) -> Any:
        mask[masked] = 0
        found = index.retrieve([words], k=K, weight_mask=mask, show_progress=False)
        mask[masked] = 1
        return found

    held = sum(int(index.scores[name].nbytes) for name in ("data", "indices", "indptr"))
    return Engine(search, held, built, rounds)


def rank_bm25_engine(texts: Sequence[str], rounds: int) -> Engine:
    started = time.perf_counter()
    index = rank_bm25.BM25Okapi([text.split() for text in texts], k1=1.2, b=0.75)
    built = time.perf_counter() - started

    def search(words: list[str], masked: Rows) -> Any:
        scores = index.get_scores(words)
        scores[masked] = -np.inf
        best = np.argpartition(-scores, K)[:K]
        return best[np.argsort(-scores[best], kind="stable")]

    # one Python dict for each text
    return Engine(search, None, built, rounds)


def fts5_engine(texts: Sequence[str], database: sqlite3.Connection, rounds: int) -> Engine:
    started = time.perf_counter()
    database.execute("CREATE VIRTUAL TABLE shop USING fts5(text, content='')")
    database.execute("CREATE TABLE masked (row INTEGER PRIMARY KEY)")
    database.executemany("INSERT INTO shop (rowid, text) VALUES (?, ?)", enumerate(texts))
    database.execute("INSERT INTO shop (shop) VALUES ('optimize')")
    built = time.perf_counter() - started
    (pages,), (size,) = (database.execute(f"PRAGMA {name}").fetchone() for name in ("page_count", "page_size"))

    def search(words: list[str], masked: Rows) -> Any:
        database.execute("DELETE FROM masked")
        database.executemany("INSERT INTO masked VALUES (?)", [(row,) for row in masked.tolist()])
        return database.execute(
            "SELECT rowid, rank FROM shop WHERE shop MATCH ? AND rowid NOT IN masked ORDER BY rank LIMIT ?",
            (" OR ".join(words), K),
        ).fetchall()

    return Engine(search, pages * size, built, rounds)


def median_ms(engines: dict[str, Engine], queries: list[list[str]], masked: Rows) -> dict[str, float]:
    """Each engine's median over queries, interleaved, so that all meet the same machine."""
    times: dict[str, list[float]] = {name: [] for name in engines}
    for number, words in enumerate(queries):
        for name, engine in engines.items():
            if number < engine.rounds:
                started = time.perf_counter()
                engine.search(words, masked)
                times[name].append((time.perf_counter() - started) * 1000)
    return {name: statistics.median(values) for name, values in times.items()}


@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    ("items", "peer_rounds", "least_ratio"), [(2_500, QUERIES, 0.3), (100_000, 50, 10.0), (1_000_000, 20, 100.0)]
)
def test_two_words_beside_the_peers(items: int, peer_rounds: int, least_ratio: float) -> None:
    """The same scores as bm25s, under 1 ms at the median, many times faster where the catalogue is large."""
    texts = zipf_texts(items)
    queries = queries_of(texts, 2)
    masked = np.random.default_rng(3).choice(items, SEEN, replace=False)
    engine, index = ours(texts)
    with closing(sqlite3.connect(":memory:")) as database:
        engines = {
            "ours": engine,
            "bm25s": bm25s_engine(texts, peer_rounds),
            "rank_bm25": rank_bm25_engine(texts, peer_rounds),
            "FTS5": fts5_engine(texts, database, peer_rounds),
        }
        medians = median_ms(engines, queries, masked)
    for words in queries[:5]:
        _, scores = engine.search(words, masked)
        _, theirs = engines["bm25s"].search(words, masked)
        # bm25s fills up with items that hold none of the words
        assert np.allclose(scores, theirs[0][: len(scores)], rtol=1e-5)
    print(f"\n{items} items, {len(index.positions) / items:.1f} tokens each, {len(index.vocabulary)} words, {K} best:")
    for name, each in engines.items():
        held = "" if each.index_bytes is None else f", {each.index_bytes / items:.0f} bytes an item"
        ratio = medians[name] / medians["ours"]
        print(f"  {name}: {medians[name]:.3f} ms, ratio {ratio:.1f}, built in {each.build_s:.1f} s{held}")
    assert medians["ours"] < LIMIT_MS
    assert medians["bm25s"] / medians["ours"] >= least_ratio


def test_what_filters_and_more_words_cost() -> None:
    """A million items: categories of any size and implied words stay within a few times the plain query."""
    items = 1_000_000
    texts = zipf_texts(items)
    index = build_lexical_index(texts)
    index.warm()
    rng = np.random.default_rng(4)
    draws = rng.random(items)
    masked = rng.choice(items, SEEN, replace=False)
    two, eight = queries_of(texts, 2), queries_of(texts, 8)

    def engine(eligible: np.ndarray | None, weights: Sequence[float]) -> Engine:
        def search(words: list[str], masked: Rows) -> Any:
            return lexical_top_k(index, dict(zip(words, weights, strict=False)), K, masked, eligible)

        return Engine(search, None, 0, QUERIES)

    medians = median_ms(
        {
            "two words": engine(None, [1, 1]),
            "in a category of a tenth": engine(draws < 0.1, [1, 1]),
            "in one of a hundredth": engine(draws < 0.01, [1, 1]),
            "in one of a thousandth": engine(draws < 0.001, [1, 1]),
        },
        two,
        masked,
    ) | median_ms({"two words and six implied": engine(None, [1, 1] + [0.3] * 6)}, eight, masked)
    print("\n" + ", ".join(f"{name} {value:.2f} ms" for name, value in medians.items()))
    assert medians["in a category of a tenth"] < 10 * medians["two words"]


def test_a_misspelt_word_beside_difflib() -> None:
    """A vocabulary of 50,000 words: under 1 ms at the median, and many times faster than the standard library."""
    rng = np.random.default_rng(5)
    shares = 1 / np.arange(2, len(LETTERS) + 2)
    lengths = rng.integers(4, 13, 2 * WORDS)
    drawn = ("".join(rng.choice(list(LETTERS), length, p=shares / shares.sum())) for length in lengths)
    words = list(dict.fromkeys(drawn))[:WORDS]
    started = time.perf_counter()
    vocabulary = Vocabulary.of(words)
    letters = vocabulary.letters
    built_ms = (time.perf_counter() - started) * 1000
    frequencies = np.ones(len(vocabulary), np.int64)
    # two neighbours swapped, and in long words a letter lost as well
    swapped = [word[0] + word[2] + word[1] + word[3:] for word in words[:QUERIES]]
    typed = [[word[:-1] if len(word) > 8 else word] for word in swapped]
    medians = median_ms(
        {
            "ours": Engine(lambda words, _: corrections(vocabulary, frequencies, words[0]), None, 0, QUERIES),
            "difflib": Engine(lambda words_, _: difflib.get_close_matches(words_[0], words), None, 0, 5),
        },
        typed,
        NO_ROWS,
    )
    held = sum(int(getattr(letters, field.name).nbytes) for field in fields(letters))
    print(
        f"\n{len(vocabulary)} words: ours {medians['ours']:.2f} ms, difflib {medians['difflib']:.0f} ms, "
        f"{held / len(vocabulary):.0f} bytes a word, made in {built_ms:.0f} ms"
    )
    assert medians["ours"] < LIMIT_MS
    assert medians["difflib"] / medians["ours"] > 50
