"""The calls that traffic makes of each service, by the names that the local cloud counts them under.

Follows `rerank.reranker`, `rerank.handoff` and `rerank.warming`; `tests/local/test_costs.py` holds it to what the
stand-ins count of the same traffic.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from flagrank.costs.workload import Path, Workload

# Lambda reads a queue with five pollers, which wait 20 s each where there is nothing
# https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-scaling.html
QUEUE_POLLERS, QUEUE_WAIT_S = 5, 20
# a set is read by ranges of this size (adapters.s3_factors)
PART_MB = 8


@dataclass(frozen=True, slots=True)
class Counts:
    """What happens in some seconds of steady traffic. All are numbers of times.

    `judged` heads have their missing items judged: in the request, by the worker, or ahead of the requests, as many
    as would miss otherwise. `starts` are new environments, of which `serving_starts` read a set of factors.
    """

    seconds: float
    requests: float
    reads: float
    claims: float
    tasks: float
    batches: float
    judged: float
    kept: float
    starts: float
    serving_starts: float

    @classmethod
    def of(cls, workload: Workload, seconds: float) -> Self:
        """The counts of so many seconds."""
        requests = workload.rps * seconds
        misses = requests * workload.misses
        tasks = misses * workload.tasks_per_miss if workload.has_worker else 0.0
        judged = tasks if workload.has_worker else misses
        serving_starts = workload.serving_environments * seconds / workload.environment_life_s
        working_starts = workload.working_environments * seconds / workload.environment_life_s
        return cls(
            seconds=seconds,
            requests=requests,
            reads=requests * workload.treated * (1 - workload.hit_rate * workload.memory_hits) + tasks,
            claims=0.0 if workload.path is Path.PRECOMPUTED else misses,
            tasks=tasks,
            batches=tasks / workload.messages_per_batch,
            judged=judged,
            kept=judged if workload.keeps_judgements or workload.path is Path.STUDENT else 0.0,
            starts=serving_starts + working_starts,
            serving_starts=serving_starts,
        )


def calls_of(workload: Workload, seconds: float) -> Mapping[str, float]:
    """How often each operation is called in so many seconds of steady traffic, by `service.Operation`."""
    counts = Counts.of(workload, seconds)
    environments = workload.serving_environments + workload.working_environments
    whole_set = 1 + workload.set_files + workload.set_mb / PART_MB
    pointers = workload.serving_environments * seconds / workload.factors_poll_s
    idle = QUEUE_POLLERS * seconds / QUEUE_WAIT_S if workload.has_worker else 0.0
    return {
        "lambda.recommend": counts.requests,
        "lambda.warm": counts.batches,
        "dynamodb.BatchGetItem": counts.reads,
        "dynamodb.PutItem": counts.claims + counts.judged + counts.kept,
        "dynamodb.UpdateItem": 0.0 if workload.path is Path.PRECOMPUTED else counts.judged,
        "dynamodb.DeleteItem": counts.tasks,
        "sqs.SendMessage": counts.tasks,
        "sqs.ReceiveMessage": counts.batches + idle,
        "sqs.DeleteMessageBatch": counts.batches,
        "bedrock.Converse": counts.judged * workload.calls_per_miss,
        "appconfig.GetLatestConfiguration": environments * seconds / workload.flag_poll_s + counts.starts,
        "appconfig.StartConfigurationSession": counts.starts,
        "s3.GetObject": pointers + counts.serving_starts * whole_set,
    }
