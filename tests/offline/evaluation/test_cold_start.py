"""New users, new items, and the texts that speak for them."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from flagrank.adapters.in_memory import HashedWordsEmbedder
from flagrank.domain import RecommendRequest
from flagrank.errors import EmbeddingUnavailable
from flagrank.model.arrays import Floats
from flagrank.offline.data.interactions import Dataset, Item
from flagrank.offline.data.movielens import read
from flagrank.offline.data.split import HELD_OUT_PER_USER, held_out_last
from flagrank.offline.evaluation import replay
from flagrank.offline.evaluation.cold_start import fold_in_curve, new_item_recall
from flagrank.offline.evaluation.stage_report import prepare
from flagrank.offline.training import item_embeddings
from flagrank.offline.training.als import AlsParameters, train
from flagrank.offline.training.item_embeddings import PUBLISHED_DIMENSIONS, embed_items, embedder
from flagrank.offline.training.neighbours import NeighbourParameters
from flagrank.offline.training.progress import silent
from flagrank.offline.training.two_stage import TrainingPlan, train_two_stages
from flagrank.ranking.rules import RuleSet
from tests.offline.datasets import QUICK, as_dataset, shop
from tests.offline.ml100k import FOLDER, needs_ml100k


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return shop()


def test_text_finds_users_for_new_items(dataset: Dataset) -> None:
    """Among a fifth of the items hidden from training, words beat chance by far.

    Not the categories here: all items of one tie, ties go by id, and the shop's ids go by fame.
    """
    found = new_item_recall(dataset, QUICK, splits=2)["recall@10"]
    assert found["text"] > 1.5 * found["random"]


def test_new_items_are_capped_by_the_operator(dataset: Dataset) -> None:
    """New items reach the lists of users whom they suit at once, and none at a share of nothing."""
    hidden = np.isin(dataset.interactions.items, sorted(dataset.items)[::2])
    factors = train(replace(dataset, interactions=dataset.interactions.select(~hidden)), QUICK)
    users = factors.user_ids.tolist()
    shares = {}
    for share in (0.0, 1.0):
        answered = replay.answers(replay.baseline(factors, RuleSet(new_item_share=share)), users, 10)
        shares[share] = sum(sum(entry.candidate.is_new for entry in answer.items) for answer in answered)
    assert shares[0.0] == 0
    assert shares[1.0] > 0


def test_more_history_makes_a_better_list(dataset: Dataset) -> None:
    """A stranger's whole history beats the first interaction alone, and no list is worse than popularity's."""
    plan = TrainingPlan(als=QUICK, neighbours=NeighbourParameters(count=20), kind="linear", folds=2)
    found = fold_in_curve(prepare(dataset, plan), silent)["ndcg@10"]
    assert found.keys() == {"popularity", "stage1", "stage2"}
    assert found["stage1"].keys() == found["stage2"].keys() == {"1", "3", "5", "10", "all"}
    for stage in ("stage1", "stage2"):
        assert found[stage]["all"]["mean"] > found[stage]["1"]["mean"]
        assert found[stage]["3"]["mean"] >= found["popularity"]["mean"]


def test_stage_2_leaves_strangers_to_stage_1(dataset: Dataset) -> None:
    """It learned from users with ten interactions and more: those of whom less is known keep Stage 1's order."""
    plan = TrainingPlan(als=QUICK, neighbours=NeighbourParameters(count=20), kind="linear", folds=2)
    factors = train_two_stages(held_out_last(dataset), plan).factors
    assert factors.stage2 is not None
    fewest = factors.stage2.document.min_history
    assert fewest >= HELD_OUT_PER_USER
    history = factors.item_ids[factors.seen(0)[:fewest]].tolist()
    orders = {}
    for known in (fewest - 1, fewest):
        query = RecommendRequest(10**6, 50, history=tuple(history[:known]))
        orders[known] = [
            replay.item_ids([replay.baseline(stage).recommend(query)])
            for stage in (factors, replace(factors, stage2=None))
        ]
    assert orders[fewest - 1][0] == orders[fewest - 1][1]
    assert orders[fewest][0] != orders[fewest][1]


def test_every_item_is_embedded_and_reduced(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unit rows of the published width, which keep who is like whom."""
    model = HashedWordsEmbedder()
    monkeypatch.setattr(item_embeddings, "embedder", lambda spec: model)
    found = embed_items(dataset, "hashed", silent)
    assert found is not None
    assert found.keys() == dataset.items.keys()
    rows = np.array(list(found.values()))
    assert rows.shape[1] <= PUBLISHED_DIMENSIONS
    assert np.linalg.norm(rows, axis=1) == pytest.approx(1, abs=1e-5)
    factors = train(dataset, QUICK, embeddings=found)
    assert factors.item_embeddings is not None
    assert factors.item_embeddings[3] == pytest.approx(found[factors.item_id(3)])


class Recorded(HashedWordsEmbedder):
    """Keeps what it was sent."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[str] = []

    def embed(self, texts: Sequence[str]) -> Floats:
        self.sent += texts
        return super().embed(texts)


def test_an_item_without_a_text_is_like_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A row of zeros, and nothing is sent: neither a stand-in's title nor a category alone speaks for an item."""
    model = Recorded()
    monkeypatch.setattr(item_embeddings, "embedder", lambda spec: model)
    items: dict[int | str, Item] = {1: Item("Lamp", "home", ""), 2: Item(" ", "home", ""), 4: Item("", "home", "cup")}
    few = replace(as_dataset([(1, 1, 1), (1, 2, 2), (2, 3, 3)]), items=items)
    found = embed_items(few, "hashed", silent)
    assert found is not None
    assert {item_id: bool(row.any()) for item_id, row in found.items()} == {1: True, 2: False, 3: False, 4: True}
    assert [text.split(".")[0] for text in model.sent] == ["Lamp", ""]
    assert train(few, replace(QUICK, factors=2), embeddings=found).item_embeddings is not None


@pytest.mark.parametrize("items", [{}, {1: Item(" ", "home", "")}])
def test_a_catalogue_without_texts_has_no_embeddings(
    items: dict[int | str, Item], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is sent, and Stage 2 reads no texts."""
    model = Recorded()
    monkeypatch.setattr(item_embeddings, "embedder", lambda spec: model)
    assert embed_items(replace(as_dataset([(1, 1, 1), (1, 2, 2)]), items=items), "hashed", silent) is None
    assert not model.sent


def test_no_embedder_is_no_embeddings(dataset: Dataset) -> None:
    """Everything else works without."""
    assert embed_items(dataset, "none", silent) is None


def test_an_embedder_that_is_not_known_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Bedrock model of no embedding family, before anything is sent."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with pytest.raises(EmbeddingUnavailable, match="no embedding family"):
        embedder("bedrock:some.model")


@needs_ml100k
@pytest.mark.slow
def test_movielens_items_are_found_by_their_texts() -> None:
    """A fifth of the items hidden, five splits: Recall@10 among them at least .14 with words and titles alone."""
    found = new_item_recall(read(FOLDER), AlsParameters())["recall@10"]
    assert found["text"] >= 0.14
    assert found["text"] > found["category"] > found["random"]
