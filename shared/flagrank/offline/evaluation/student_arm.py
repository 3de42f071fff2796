"""A student beside its teacher: distilled from what a simulated LLM judged of the validation's requests."""

from dataclasses import dataclass
from typing import Any

from flagrank.domain import Recommendation, RecommendRequest
from flagrank.flags.document import FlagDocument
from flagrank.model.factors import Factors
from flagrank.offline.data.judgements import JudgedText
from flagrank.offline.evaluation import replay
from flagrank.offline.evaluation.catalogue_queries import asked
from flagrank.offline.evaluation.distillation import Distilled, distill
from flagrank.offline.evaluation.llm_effect import FLAG
from flagrank.offline.evaluation.llm_simulators import LLMSimulator, SimulatedLLM
from flagrank.offline.evaluation.query_draw import Draws
from flagrank.offline.evaluation.stage_report import Trained
from flagrank.offline.training.progress import Progress
from flagrank.rerank.records import entry_key
from flagrank.rerank.reranker import IdentityReranker
from flagrank.serving.pipeline import Recommender
from flagrank.serving.resolve_query import resolve_query

STEP = "asking a teacher"
# of each kind of query, which makes as many judgements as a student is fitted to
JUDGED_OF_A_KIND = 300


@dataclass(frozen=True, slots=True)
class Teacher:
    """A simulator by name."""

    name: str
    simulator: LLMSimulator


def student_of(
    teacher: Teacher, validation: Trained, draws: Draws, factors: Factors, held_out: Draws, progress: Progress
) -> Distilled:
    """The set with a student of what the teacher judged for the validation's users and for its draw of queries.

    Queries of the same words as one that is `held_out` are left out, so that none is known to the student.
    """
    tested = {_words(query.text, factors) for queries in held_out.values() for query in queries}
    some = [query for of_kind in draws.values() for query in of_kind[:JUDGED_OF_A_KIND]]
    queries = [query for query in some if _words(query.text, factors) not in tested]
    requests = [RecommendRequest(user_id, replay.LIST_LENGTH) for user_id in validation.users.ids]
    requests += [asked(query, replay.LIST_LENGTH) for query in queries]
    recommender = replay.reranking(validation.factors, SimulatedLLM(teacher.simulator), FLAG)
    judged: list[JudgedText] = []
    for number, request in enumerate(requests):
        progress(STEP, number, len(requests))
        judged += judged_texts(recommender.recommend(request), teacher.name)
    progress(STEP, len(requests), len(requests))
    return distill(factors, judged)


def student_alone(factors: Factors, flag: FlagDocument) -> Recommender:
    """The pipeline with every user treated by the set's student, and no LLM."""
    return replay.treating(factors, IdentityReranker(), flag.model_copy(update={"student": "fill"}))


def judged_texts(answer: Recommendation, model: str) -> list[JudgedText]:
    """What an LLM judged of an answer's items."""
    intent = answer.diagnostics.intent
    return [
        JudgedText(intent, entry_key(item.text), round(100 * entry.llm_score), model, item.rank)
        for entry in answer.items
        if entry.llm_score is not None
        for item in (entry.candidate,)
    ]


def summary(made: Distilled) -> dict[str, Any]:
    """What `distill` would report, and whether it would publish."""
    return {"published": made.is_better, **made.report}


def _words(text: str, factors: Factors) -> frozenset[str]:
    return frozenset(resolve_query(text, factors).intent.text.split())
