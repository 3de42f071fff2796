"""The serving pipeline as evaluation asks it."""

from flagrank.adapters.in_memory import ScriptedLLM
from flagrank.flags.document import FlagDocument
from flagrank.model.attributes import encoded
from flagrank.offline.evaluation import replay
from tests.factories import make_factors
from tests.wiring import by_item_number


def test_the_past_is_judged_without_today_s_stock() -> None:
    """What is out of stock now was bought when it was there: it is found in both arms."""
    sold_out = make_factors(attributes={"stock": encoded("integer", [0] * 50)})
    plain = replay.answers(replay.baseline(make_factors()), [1, 2, 3])
    assert replay.item_ids(replay.answers(replay.baseline(sold_out), [1, 2, 3])) == replay.item_ids(plain)
    treated = replay.reranking(sold_out, ScriptedLLM(by_item_number), FlagDocument(alpha=0.5))
    assert all(len(answer.items) == 47 for answer in replay.answers(treated, [1, 2, 3]))
