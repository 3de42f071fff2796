"""What a warm-up asks of a batch service: many calls in one job, at half the price, within a day.

A batch is what was written under a name: the records, and a plan that says what each of them is about. It stays open
until it is closed, so that another process can go on with it at any moment.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from flagrank.ports import Completion, Prompt


@dataclass(frozen=True, slots=True)
class BatchRecord:
    """One call of a batch; its id is its own within the batch."""

    record_id: str
    prompt: Prompt
    max_output_tokens: int


@dataclass(frozen=True, slots=True)
class BatchAnswer:
    """What came of one record: a completion, or the service's own words for why there is none."""

    record_id: str
    completion: Completion | None
    error: str | None = None


class JobState(StrEnum):
    """Where a job is: to wait for, over with whatever answers there are, or over with none."""

    RUNNING = "running"
    ENDED = "ended"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class JobStatus:
    """A job's state, what the service says of it in its own words, and how many of its records it has dealt with."""

    state: JobState
    detail: str
    processed: int = 0
    total: int = 0


class BatchInference(Protocol):
    """Batches of one model each. Raises CloudError where the service refuses or does not answer."""

    def prepare(self, name: str, plan: bytes, records: Iterable[BatchRecord], model_id: str) -> None:
        """Writes a batch. It is open once its plan is there, which comes last."""

    def open_batches(self) -> list[str]:
        """The names of the batches that are not closed, in alphabetical order."""

    def name_of(self, job: str) -> str:
        """The batch that a job is for; raises ConfigurationError if it is for none."""

    def plan(self, name: str) -> bytes:
        """A batch's plan, as it was written."""

    def start(self, name: str, model_id: str) -> str:
        """The batch's job: begun if it is not, and the same one however often this is asked."""

    def status(self, job: str) -> JobStatus:
        """Where a job is."""

    def answers(self, name: str, job: str) -> Iterator[BatchAnswer]:
        """The answers of a job that is over, in no order; records without one are left out."""

    def close(self, name: str, report: bytes) -> None:
        """Ends a batch with a report of what became of it."""
