"""What of the wanted heads is not judged yet, and what judging it takes."""

from hypothesis import given
from hypothesis import strategies as st

from flagrank.adapters.in_memory import InlineExecutor, InMemoryScoreCache, ManualClock
from flagrank.flags.document import FlagDocument
from flagrank.ports import ScoreRecord
from flagrank.rerank.pricing import Price
from flagrank.rerank.records import entry_key
from flagrank.warming.heads import Head
from flagrank.warming.missing import estimate, in_requests, missing
from tests.unit.warming.test_wanted import silent

DAY = "2027-01-15"
FLAG = FlagDocument(top_m=20)
PRICES = {"*": Price(input_usd=1.0, output_usd=4.0)}
HEADS = [Head("wireless", ("a", "b", "c")), Head("steel", ("a", "d"))]


def test_what_is_cached_is_not_missing() -> None:
    """Of each intent what its own record lacks; an intent that lacks nothing is left out, and so is what expired."""
    clock = ManualClock()
    cache = InMemoryScoreCache(clock)
    cache.write("wireless", ScoreRecord({entry_key("b"): 3}, int(clock.now()) + 60))
    cache.write("steel", ScoreRecord({entry_key("a"): 1, entry_key("d"): 2}, int(clock.now()) + 60))
    cache.reserve_spend(DAY, 7, 10**18)

    def left() -> tuple[list[Head], int]:
        return missing(HEADS, lambda intent: cache.read(intent, DAY), InlineExecutor(), silent)

    assert left() == ([Head("wireless", ("a", "c"))], 7)
    clock.advance(60)
    assert left() == (HEADS, 7)


@given(st.lists(st.integers(0, 130), max_size=4))
def test_pieces_hold_all_texts_and_none_is_longer_than_a_head(sizes: list[int]) -> None:
    """Nothing is lost, repeated or moved to another intent."""
    heads = [Head(f"intent {n}", tuple(f"text {i}" for i in range(size))) for n, size in enumerate(sizes)]
    pieces = in_requests(heads, FLAG)
    assert all(0 < len(piece.texts) <= FLAG.top_m for piece in pieces)
    for head in heads:
        assert sum((piece.texts for piece in pieces if piece.intent == head.intent), ()) == head.texts


def test_an_estimate_counts_calls_texts_and_their_price() -> None:
    """Calls of `batch_items` texts, at the prices that spend is counted with."""
    heads = [Head("wireless", tuple(f"thing {n}" for n in range(15))), Head("steel", ("pan",))]
    found = estimate(heads, FLAG, PRICES, batch_items=10)
    assert (found.intents, found.texts, found.calls) == (2, 16, 3)
    assert found.cost_micro_usd == found.input_tokens + 4 * found.output_tokens
    assert found.output_tokens == 3 * 32 + 16 * 6


def test_texts_beyond_the_token_limit_are_not_counted() -> None:
    """They would not be asked about either."""
    long = Head("wireless", tuple(f"{n} " + "word " * 47 for n in range(20)))
    limited = FLAG.model_copy(update={"max_input_tokens": 1000})
    assert 0 < estimate([long], limited, PRICES, 10).texts < 20
    assert estimate([long], limited, PRICES, 10).input_tokens <= 1000


def test_nothing_costs_nothing() -> None:
    """No heads, no calls."""
    assert estimate([], FLAG, PRICES, 10).cost_micro_usd == 0
