"""The whole evaluation: both stages, then the experiments that say what each part is worth."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from flagrank.errors import DataError
from flagrank.flags.document import FlagDocument
from flagrank.offline.data.interactions import SYNTHETIC, Dataset
from flagrank.offline.data.split import folds
from flagrank.offline.evaluation import replay
from flagrank.offline.evaluation.ablation import ablation
from flagrank.offline.evaluation.blend import Blend, choose_blend
from flagrank.offline.evaluation.catalogue_queries import BASELINE, catalogue_queries
from flagrank.offline.evaluation.cold_start import fold_in_curve, new_item_recall
from flagrank.offline.evaluation.distillation import Distilled
from flagrank.offline.evaluation.diversity_price import diversity_price
from flagrank.offline.evaluation.example_lists import example_lists
from flagrank.offline.evaluation.gate_effect import gate_effect, observe
from flagrank.offline.evaluation.llm_effect import FLAG, llm_effect
from flagrank.offline.evaluation.llm_simulators import (
    EmbeddingSimulator,
    LLMSimulator,
    SimulatedLLM,
    simulate_by_words,
)
from flagrank.offline.evaluation.query_draw import Draws, Part, draw
from flagrank.offline.evaluation.query_ranking import MALFORMED, make_requests, query_effect
from flagrank.offline.evaluation.random_split import random_split
from flagrank.offline.evaluation.stage_report import Trained, prepare, report
from flagrank.offline.evaluation.student_arm import Teacher, student_alone, student_of, summary
from flagrank.offline.training.item_embeddings import embed_items, embedder
from flagrank.offline.training.progress import Progress
from flagrank.offline.training.two_stage import TrainingPlan

# enough that an interval of most kinds can exclude a loss of blend.MARGIN
QUERIES_OF_A_KIND = 1000

type Simulators = Mapping[str, LLMSimulator]


def evaluate(
    dataset: Dataset, plan: TrainingPlan, embedder_spec: str, quick: bool, progress: Progress
) -> dict[str, Any]:
    """The JSON report; the same figures for the same data and plan. `quick` leaves the experiments out.

    `catalogue_queries` are drawn from the whole catalogue, and what counts is known for any that has texts. Clicks that
    follow an intent (`queries`, `gate`) are made up for the synthetic catalogue alone.
    """
    embeddings = embed_items(dataset, embedder_spec, progress)
    trained = prepare(dataset, plan, embeddings, progress)
    document = {**report(trained), "examples": example_lists(trained)}
    if quick:
        return document
    model = embedder(embedder_spec)
    simulators: dict[str, LLMSimulator] = {"words": simulate_by_words}
    if model:
        simulators[model.name] = EmbeddingSimulator(model)
    validation = _validation(trained, progress)
    draws = draw(validation.dataset, validation.factors, Part.VALIDATION, QUERIES_OF_A_KIND) if validation else {}
    blends = _blends(validation, draws, simulators, progress) if validation else {}
    flags = {name: blends[name].flag() if name in blends else FLAG for name in simulators}
    tests = draw(trained.dataset, trained.factors, Part.TEST, QUERIES_OF_A_KIND)
    students = _students(trained, validation, draws, tests, simulators, progress) if validation else {}
    steps: dict[str, Callable[[], Any]] = {
        "ablation": lambda: ablation(trained, progress) if trained.factors.stage2 else {},
        "llm": lambda: {name: llm_effect(trained, simulator) for name, simulator in simulators.items()},
        "blend": lambda: {name: blend.document() for name, blend in blends.items()},
        "fold_in": lambda: fold_in_curve(trained, progress),
        "new_items": lambda: new_item_recall(trained.dataset, plan.als, embeddings),
        "diversity": lambda: diversity_price(trained),
        "student": lambda: {name: summary(made) for name, made in students.items()},
        "catalogue_queries": lambda: _catalogue_queries(trained, tests, simulators, flags, students),
    }
    if dataset.random_split:
        steps["random_split"] = lambda: random_split(trained.dataset, plan, embeddings, progress)
    if dataset.name == SYNTHETIC:
        requests = make_requests(trained.dataset, trained.factors)
        steps["queries"] = lambda: {
            name: query_effect(trained.factors, requests, simulator, FLAG) for name, simulator in simulators.items()
        }
        if validation:
            steps["gate"] = lambda: _gates(trained, validation, simulators, flags)
    for number, (name, step) in enumerate(steps.items()):
        progress("experiments", number, len(steps))
        document[name] = step()
    progress("experiments", len(steps), len(steps))
    return document


def _validation(trained: Trained, progress: Progress) -> Trained | None:
    """Both stages trained on the rest of a fold of the training interactions; None where nobody has enough of them."""
    fold = next(folds(trained.dataset, 1, trained.plan.als.seed))
    if fold.held_out is None or not len(fold.held_out):
        return None
    return prepare(fold, replace(trained.plan, folds=1), trained.embeddings, progress)


def _blends(validation: Trained, draws: Draws, simulators: Simulators, progress: Progress) -> dict[str, Blend]:
    blends = {}
    for number, (name, simulator) in enumerate(simulators.items()):
        progress("choosing alphas", number, len(simulators))
        blends[name] = choose_blend(validation, draws, simulator)
    progress("choosing alphas", len(simulators), len(simulators))
    return blends


def _students(
    trained: Trained,
    validation: Trained,
    draws: Draws,
    tests: Draws,
    simulators: Simulators,
    progress: Progress,
) -> dict[str, Distilled]:
    students = {}
    for name, simulator in simulators.items():
        # of a catalogue without texts, or of a few users, there is nothing to learn
        with suppress(DataError):
            teacher = Teacher(name, simulator)
            students[name] = student_of(teacher, validation, draws, trained.factors, tests, progress)
    return students


def _catalogue_queries(
    trained: Trained,
    draws: Draws,
    simulators: Simulators,
    flags: Mapping[str, FlagDocument],
    students: Mapping[str, Distilled],
) -> dict[str, Any]:
    factors = trained.factors
    recommenders = {BASELINE: replay.baseline(factors)}
    for name, simulator in simulators.items():
        recommenders[name] = replay.reranking(factors, SimulatedLLM(simulator, MALFORMED), flags[name])
    for name, made in students.items():
        recommenders[f"student of {name}"] = student_alone(made.factors, flags[name])
    return catalogue_queries(factors, draws, recommenders)


def _gates(
    trained: Trained, validation: Trained, simulators: Simulators, flags: Mapping[str, FlagDocument]
) -> dict[str, Any]:
    # thresholds come from the fold, with queries and clicks of its own
    requests = make_requests(trained.dataset, trained.factors)
    its_requests = make_requests(validation.dataset, validation.factors, seed=1)
    gates = {}
    for name, simulator in simulators.items():
        # the gate is measured on candidates of taste alone, where nothing but the LLM reads the query
        flag = flags[name].model_copy(update={"alpha_query": FLAG.alpha})
        on_validation = observe(validation, its_requests, simulator, flag)
        gates[name] = gate_effect(on_validation, observe(trained, requests, simulator, flag))
    return gates
