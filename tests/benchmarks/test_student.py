"""What the student costs a request, beside the whole request that has no student."""

import os
from dataclasses import replace

import numpy as np

from flagrank.benchmarks.timing import interleaved
from flagrank.flags.document import FlagDocument
from flagrank.model.factors import Factors
from flagrank.model.student_features import relevance
from flagrank.offline.data.judgements import Part, met_with
from flagrank.offline.data.sources import read_dataset
from flagrank.offline.evaluation import replay
from flagrank.offline.evaluation.catalogue_queries import asked
from flagrank.offline.evaluation.llm_effect import FLAG
from flagrank.offline.evaluation.llm_simulators import SimulatedLLM, simulate_by_words
from flagrank.offline.evaluation.query_draw import Part as Half
from flagrank.offline.evaluation.query_draw import draw
from flagrank.offline.evaluation.student_arm import judged_texts, student_alone
from flagrank.offline.training.student import fit_student
from flagrank.offline.training.two_stage import QUICK_PLAN, train_two_stages

CANDIDATES, ROUNDS = 100, 400
QUERIES_OF_A_KIND = 60
# of one request's baseline
LIMIT_SHARE = 0.5


def test_scoring_100_candidates() -> None:
    """Relevance of 100 candidates well under a millisecond, and a small part of what the request costs anyway."""
    dataset = read_dataset("synthetic")
    factors = train_two_stages(dataset, QUICK_PLAN).factors
    queries = [query for kind in draw(dataset, factors, Half.VALIDATION, QUERIES_OF_A_KIND).values() for query in kind]
    requests = [asked(query, CANDIDATES) for query in queries]
    teacher = replay.reranking(factors, SimulatedLLM(simulate_by_words), FLAG)
    answers = [teacher.recommend(request) for request in requests]
    found = met_with(factors, [judged for answer in answers for judged in judged_texts(answer, "words")])
    student = fit_student(factors, found.of(Part.FIT), found.of(Part.CHOOSE), "words").student
    filled: Factors = replace(factors, student=student)
    filled.warm()
    baseline, treated = replay.baseline(factors), student_alone(filled, FlagDocument(top_m=CANDIDATES))
    rows = [np.array([entry.candidate.row for entry in answer.items]) for answer in answers]
    intents = [answer.diagnostics.intent for answer in answers]

    def of(number: int) -> int:
        return number % len(requests)

    times = interleaved(
        {
            "student": lambda number: relevance(filled, intents[of(number)], rows[of(number)]),
            "baseline request": lambda number: baseline.recommend(requests[of(number)]),
            "student request": lambda number: treated.recommend(requests[of(number)]),
        },
        ROUNDS,
    )
    medians = {name: float(np.median(values)) for name, values in times.items()}
    print({name: round(value, 3) for name, value in medians.items()}, "load", os.getloadavg()[0])
    assert {len(some) for some in rows} == {CANDIDATES}
    assert medians["student"] < LIMIT_SHARE * medians["baseline request"]
