"""The whole evaluation: both stages, then the experiments that say what each part is worth."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from flagrank.offline.data.interactions import SYNTHETIC, Dataset
from flagrank.offline.data.split import folds
from flagrank.offline.evaluation.ablation import ablation
from flagrank.offline.evaluation.cold_start import fold_in_curve, new_item_recall
from flagrank.offline.evaluation.diversity_price import diversity_price
from flagrank.offline.evaluation.gate_effect import gate_effect, observe
from flagrank.offline.evaluation.llm_effect import FLAG, llm_effect
from flagrank.offline.evaluation.llm_simulators import EmbeddingSimulator, LLMSimulator, simulate_by_words
from flagrank.offline.evaluation.query_ranking import QueryRequest, make_requests, query_effect
from flagrank.offline.evaluation.random_split import random_split
from flagrank.offline.evaluation.stage_report import Trained, prepare, report
from flagrank.offline.training.item_embeddings import embed_items, embedder
from flagrank.offline.training.progress import Progress
from flagrank.offline.training.two_stage import TrainingPlan


def evaluate(
    dataset: Dataset, plan: TrainingPlan, embedder_spec: str, quick: bool, progress: Progress
) -> dict[str, Any]:
    """The JSON report; the same figures for the same data and plan. `quick` leaves the experiments out.

    Queries are tried on the synthetic catalogue alone: only there is the intent behind one known.
    """
    embeddings = embed_items(dataset, embedder_spec, progress)
    trained = prepare(dataset, plan, embeddings, progress)
    document = report(trained)
    if quick:
        return document
    model = embedder(embedder_spec)
    simulators: dict[str, LLMSimulator] = {"words": simulate_by_words}
    if model:
        simulators[model.name] = EmbeddingSimulator(model)
    steps: dict[str, Callable[[], Any]] = {
        "ablation": lambda: ablation(trained, progress) if trained.factors.stage2 else {},
        "llm": lambda: {name: llm_effect(trained, simulator) for name, simulator in simulators.items()},
        "fold_in": lambda: fold_in_curve(trained, progress),
        "new_items": lambda: new_item_recall(trained.dataset, plan.als, embeddings),
        "diversity": lambda: diversity_price(trained),
    }
    if dataset.random_split:
        steps["random_split"] = lambda: random_split(trained.dataset, plan, embeddings, progress)
    if dataset.name == SYNTHETIC:
        requests = make_requests(trained.dataset, trained.factors)
        steps["queries"] = lambda: {
            name: query_effect(trained.factors, requests, simulator, FLAG) for name, simulator in simulators.items()
        }
        steps["gate"] = lambda: _gates(trained, requests, simulators, progress)
    for number, (name, step) in enumerate(steps.items()):
        progress("experiments", number, len(steps))
        document[name] = step()
    progress("experiments", len(steps), len(steps))
    return document


def _gates(
    trained: Trained, requests: Sequence[QueryRequest], simulators: Mapping[str, LLMSimulator], progress: Progress
) -> dict[str, Any]:
    # thresholds come from a fold of the training interactions, with queries and clicks of its own
    fold = next(folds(trained.dataset, 1, trained.plan.als.seed))
    validation = prepare(fold, replace(trained.plan, folds=1), trained.embeddings, progress)
    its_requests = make_requests(fold, validation.factors, seed=1)
    return {
        name: gate_effect(observe(validation, its_requests, simulator), observe(trained, requests, simulator))
        for name, simulator in simulators.items()
    }
