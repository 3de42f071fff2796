"""The traffic whose cost is asked for, and what is assumed of it."""

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

MONTH_S = 730 * 3600
# what Lambda runs for by memory, in the units of its price
MB_PER_GB = 1024


class Path(StrEnum):
    """Who judges: the request, a worker, a worker with a student for what it has not judged yet, or a batch ahead."""

    INLINE = "inline"
    ASYNC = "async"
    STUDENT = "student"
    PRECOMPUTED = "precomputed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """Traffic and deployment. Shares are 0..1, times in ms or s, sizes in the unit that the name ends in.

    `hit_rate` is the share of treated requests whose head the cache holds whole; every other one misses
    `missing_items`. Of those, `tasks_per_miss` put a task on the queue, and the others find the intent claimed.
    `memory_hits` is the share of the hits that an environment still remembers, and so reads nothing for.
    `retries` are repeated calls for each call. Durations and `environment_life_s` are assumptions until they are
    measured in an account.
    """

    rps: float
    treated: float
    hit_rate: float
    path: Path = Path.ASYNC
    model_id: str = "amazon.nova-lite-v1:0"
    missing_items: float = 60.0
    batch_items: int = 10
    input_tokens_per_call: float = 0.0
    output_tokens_per_call: float = 0.0
    retries: float = 0.0
    tasks_per_miss: float = 1.0
    memory_hits: float = 0.0
    messages_per_batch: float = 1.0
    keeps_judgements: bool = False
    record_bytes: int = 640
    architecture: Literal["arm64", "x86_64"] = "arm64"
    memory_mb: int = 1769
    control_ms: float = 5.0
    treated_ms: float = 12.0
    llm_ms: float = 500.0
    environments: int | None = None
    worker_environments: int | None = None
    environment_life_s: float = 7200.0
    restored: bool = True
    published_versions: int = 2
    flag_poll_s: int = 15
    flag_changes_per_day: float = 1.0
    factors_poll_s: int = 60
    set_mb: float = 10.0
    set_files: int = 24
    kept_sets: int = 5
    emf_bytes: int = 2370
    worker_emf_bytes: int = 1840
    access_log_bytes: int = 330
    response_bytes: int = 600
    log_retention_days: int = 30
    alarm_metrics: int = 0
    composite_alarms: int = 0

    @property
    def misses(self) -> float:
        """The share of all requests that are treated and whose head the cache does not hold whole."""
        return self.treated * (1 - self.hit_rate)

    @property
    def calls_per_miss(self) -> float:
        """LLM calls that judge what one request misses, or queries of a rerank model."""
        size = 100 if self.model_id.startswith("rerank:") else self.batch_items
        return math.ceil(self.missing_items / size) * (1 + self.retries)

    @property
    def has_worker(self) -> bool:
        """Whether the queue is in use."""
        return self.path in (Path.ASYNC, Path.STUDENT)

    @property
    def request_s(self) -> float:
        """A request's mean duration."""
        control_ms, treated_ms = (1 - self.treated) * self.control_ms, self.treated * self.treated_ms
        waiting_ms = self.misses * self.llm_ms if self.path is Path.INLINE else 0.0
        return (control_ms + treated_ms + waiting_ms) / 1000

    @property
    def serving_environments(self) -> int:
        """Environments that serve: by Little's law with room for twice the mean, unless the number is given."""
        return self.environments or math.ceil(1 + 2 * self.rps * self.request_s)

    @property
    def batch_s(self) -> float:
        """How long the worker has one batch in hand: its messages are judged at the same time."""
        return self.llm_ms / 1000 + 0.1

    @property
    def working_environments(self) -> int:
        """Environments of the worker, in the same way; none where nothing is queued."""
        if not self.has_worker:
            return 0
        batches_per_s = self.rps * self.misses * self.tasks_per_miss / self.messages_per_batch
        return self.worker_environments or math.ceil(1 + 2 * batches_per_s * self.batch_s)
