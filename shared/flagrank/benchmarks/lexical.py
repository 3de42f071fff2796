"""The lexical source beside bm25s, rank_bm25 and SQLite's FTS5: two words of one item, 200 seen items masked."""

import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from flagrank.benchmarks.peers import absent, peer
from flagrank.benchmarks.results import OURS, Row, compared
from flagrank.benchmarks.shops import zipf_texts
from flagrank.benchmarks.timing import interleaved
from flagrank.candidates.lexical import lexical_top_k
from flagrank.model.arrays import Rows
from flagrank.model.lexical import LexicalIndex, build_lexical_index

K, SEEN, QUERIES = 100, 200, 200
BM25S, RANK_BM25, FTS5 = "bm25s", "rank_bm25", "SQLite FTS5"
# a dict for each text: a larger one takes seconds a query
MOST_RANK_BM25_ITEMS = 10_000
FULL, TINY = (2_500, 100_000), (400,)

type Search = Callable[[list[str], Rows], Any]


@dataclass(frozen=True, slots=True)
class Engine:
    """One contestant: its search, the bytes of its index if they are known, and the seconds that building took."""

    search: Search
    index_bytes: int | None
    build_s: float

    def facts(self, items: int) -> dict[str, float]:
        """What is told of it beside its times."""
        held = {} if self.index_bytes is None else {"bytes_per_item": self.index_bytes / items}
        return {"build_s": self.build_s, **held}


def measure(tiny: bool) -> Iterator[Row]:
    """Time of a query, time to build and size, for catalogues of several sizes."""
    for items in TINY if tiny else FULL:
        with closing(sqlite3.connect(":memory:")) as database:
            engines, missing = engines_of(zipf_texts(items), database)
            yield from beside_peers(items, engines, missing, 5 if tiny else QUERIES)


def engines_of(texts: Sequence[str], database: sqlite3.Connection) -> tuple[dict[str, Engine], dict[str, str]]:
    """All contestants over these texts, and why others are missing."""
    engines, missing = {OURS: ours(texts)[0]}, {}
    for name, module, made in ((BM25S, "bm25s", bm25s_engine), (RANK_BM25, "rank_bm25", rank_bm25_engine)):
        library = peer(module)
        if library is None:
            missing[name] = absent(module)
        elif name == RANK_BM25 and len(texts) > MOST_RANK_BM25_ITEMS:
            missing[name] = f"it scores every text in Python: at most {MOST_RANK_BM25_ITEMS:,} items here"
        else:
            engines[name] = made(library, texts)
    engines[FTS5] = fts5_engine(texts, database)
    return engines, missing


def beside_peers(items: int, engines: dict[str, Engine], missing: dict[str, str], rounds: int) -> list[Row]:
    """The rows of one catalogue."""
    texts = zipf_texts(items)
    queries = queries_of(texts, 2, rounds)
    masked = np.random.default_rng(3).choice(items, SEEN, replace=False)

    def step(engine: Engine) -> Callable[[int], Any]:
        return lambda number: engine.search(queries[number], masked)

    times = interleaved({name: step(engine) for name, engine in engines.items()}, rounds)
    facts = {name: engine.facts(items) for name, engine in engines.items()}
    return compared(f"{items:,} texts", times, facts=facts, missing=missing)


def queries_of(texts: Sequence[str], words: int, count: int = QUERIES) -> list[list[str]]:
    """So many words of one item, for items drawn at random."""
    rng = np.random.default_rng(2)
    chosen = [texts[row].split() for row in rng.integers(len(texts), size=count)]
    return [rng.permutation(tokens)[:words].tolist() for tokens in chosen]


def ours(texts: Sequence[str]) -> tuple[Engine, LexicalIndex]:
    """Flagrank's index, warm."""
    started = time.perf_counter()
    index = build_lexical_index(texts)
    index.warm()
    built = time.perf_counter() - started

    def search(words: list[str], masked: Rows) -> Any:
        return lexical_top_k(index, dict.fromkeys(words, 1.0), K, masked)

    return Engine(search, sum(int(getattr(index, each.name).nbytes) for each in fields(index)), built), index


def bm25s_engine(bm25s: Any, texts: Sequence[str]) -> Engine:
    """bm25s with the same BM25; the seen items are masked by a factor for each item."""
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

    return Engine(search, sum(int(index.scores[name].nbytes) for name in ("data", "indices", "indptr")), built)


def rank_bm25_engine(rank_bm25: Any, texts: Sequence[str]) -> Engine:
    """rank_bm25, whose index is one Python dict for each text."""
    started = time.perf_counter()
    index = rank_bm25.BM25Okapi([text.split() for text in texts], k1=1.2, b=0.75)
    built = time.perf_counter() - started

    def search(words: list[str], masked: Rows) -> Any:
        scores = index.get_scores(words)
        scores[masked] = -np.inf
        best = np.argpartition(-scores, K)[:K]
        return best[np.argsort(-scores[best], kind="stable")]

    return Engine(search, None, built)


def fts5_engine(texts: Sequence[str], database: sqlite3.Connection) -> Engine:
    """SQLite's full text index in memory."""
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

    return Engine(search, pages * size, built)
