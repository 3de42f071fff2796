"""What the core asks of the world. Adapters implement these; the contract suites in tests/contract hold them to it."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from flagrank.flags.document import FlagDocument
from flagrank.model.arrays import Floats
from flagrank.model.factors import Factors


class Clock(Protocol):
    """Time, so that the core never reads it itself."""

    def monotonic(self) -> float:
        """Seconds on a scale that never goes back."""

    def now(self) -> float:
        """Seconds since the epoch."""


@dataclass(frozen=True, slots=True)
class ReloadCounts:
    """Sets that came into force in place of another, and loads that failed for whatever reason."""

    loaded: int = 0
    failed: int = 0


class FactorStore(Protocol):
    """The verified factors in force."""

    def current(self) -> Factors:
        """The newest verified factors; raises FactorsUnavailable while there are none."""

    def drain_reloads(self) -> ReloadCounts:
        """What became of the reloads since this was last asked."""


class UserStore(Protocol):
    """The users' files of the published sets, read in parts. Raises UsersUnavailable, nothing else."""

    def prepare(self) -> None:
        """Does what the first read would wait for."""

    def read(self, version: str, start: int, size: int, timeout_ms: float) -> bytes:
        """So many bytes of the version's file from `start` on, no fewer; gives up after about `timeout_ms`."""


@dataclass(frozen=True, slots=True)
class FlagState:
    """The flag as last known. `document` is None while none was ever read; `age_s` counts from the last good read."""

    document: FlagDocument | None
    version: str | None = None
    age_s: float = 0.0
    stale: bool = False


class FlagSource(Protocol):
    """The flag in force. Never raises: an outage is a stale state, not an exception."""

    def current(self, max_wait_ms: float) -> FlagState:
        """The last-known-good flag, refreshed when due; waits at most `max_wait_ms` for that refresh."""

    def drain_rejected(self) -> int:
        """How many documents were rejected as invalid since this was last asked."""


@dataclass(frozen=True, slots=True)
class ScoreRecord:
    """All cached scores of one intent: entry key (8 bytes) -> relevance 0..100. `expires_at` in epoch seconds."""

    scores: Mapping[bytes, int]
    expires_at: int
    revision: int = 0


@dataclass(frozen=True, slots=True)
class CacheRead:
    """One round trip's answer: the record, None on a miss or when expired, and the day's spend in micro-USD."""

    record: ScoreRecord | None
    spent_micro_usd: int = 0


class ScoreCache(Protocol):
    """LLM scores by content address, and the day's spend. Raises CacheUnavailable, nothing else."""

    def read(self, key: str, day: str, entries: Collection[bytes] = ()) -> CacheRead:
        """The record under `key` and the spend of `day` (YYYY-MM-DD), in one round trip.

        A cache may answer from memory, but not with a record that misses one of `entries`: others may have added it.
        """

    def write(self, key: str, record: ScoreRecord) -> bool:
        """Stores a record if the stored revision is still `record.revision`; False when another writer was first."""

    def reserve_spend(self, day: str, micro_usd: int, below_micro_usd: int) -> bool:
        """Adds to the day's spend if less than `below_micro_usd` is spent, in one step; False if it is not."""

    def claim(self, key: str, seconds: int) -> bool:
        """Claims the key for so long; False while another's claim lasts. A claim and a record do not meet."""

    def release(self, key: str) -> None:
        """Ends the claim on the key, whoever holds it."""

    def add_spend_once(self, day: str, micro_usd: int, receipt: str) -> bool:
        """Adds to the day's spend unless this receipt was ever added, in one step; False if it was."""


@dataclass(frozen=True, slots=True)
class JudgementTask:
    """Texts to judge for an intent, by which model, under which judge's version. It never holds a user's id.

    The first text is the baseline's best. `refresh` has all texts judged anew, also those whose scores still hold.
    """

    intent: str
    model_id: str
    version: str
    texts: tuple[str, ...]
    refresh: bool = False


class JudgementQueue(Protocol):
    """Tasks for whoever judges behind the requests. Raises QueueUnavailable, nothing else."""

    def send(self, task: JudgementTask) -> None:
        """Enqueues a task; it may be delivered twice, and out of order."""


@dataclass(frozen=True, slots=True)
class KeptJudgements:
    """What one judgement said, as it is kept to learn from: whose texts they were is known to the catalogue alone.

    `intent` are words, never a user's id. `model_id` and `version` say who judged. `entries` are an entry key (8 bytes)
    and a relevance 0..100 each, in the order of the baseline, with each item's rank in it (0..255).
    """

    intent: str
    model_id: str
    version: str
    entries: tuple[tuple[bytes, int, int], ...]


class JudgementLog(Protocol):
    """Judgements that may be kept for training, for as many days as a setting says. Raises CacheUnavailable."""

    def keep(self, judgements: KeptJudgements) -> None:
        """Keeps them; the same ones again change nothing but how long."""

    def kept(self) -> Iterator[KeptJudgements]:
        """Everything that is still kept, in no order."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """One listwise micro-batch, ready to send. `size` is the number of items that it asks about.

    `schema` is the answer's JSON Schema, an object.
    """

    system: str
    user: str
    size: int
    schema: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Completion:
    """The model's answer. `stop_reason` in the Converse API's words (`end_turn`, `max_tokens`, `tool_use`, ...)."""

    text: str
    stop_reason: str
    input_tokens: int
    output_tokens: int


class LLMClient(Protocol):
    """One scoring call. Raises RerankError leaves only: RerankTimeout, LLMThrottled, LLMRejected, LLMUnavailable."""

    def complete(self, prompt: Prompt, *, model_id: str, max_output_tokens: int, timeout_ms: int) -> Completion:
        """Sends the prompt with the static answer schema; gives up after about `timeout_ms`."""


# pairs of a text's index and its score
type Scored = Sequence[tuple[int, float]]


class RerankClient(Protocol):
    """One call to a rerank model. Raises RerankError leaves only, as LLMClient does."""

    def rerank(
        self, query: str, texts: Sequence[str], *, model_id: str, timeout_ms: int
    ) -> Sequence[tuple[int, float]]:
        """The scores in any order, as the model gave them: nothing is checked.

        `texts` are 1 to 1,000, none of them empty. Gives up after about `timeout_ms`.
        """


class Embedder(Protocol):
    """Texts as vectors. Offline: no request waits for it. `name` tells models apart in manifests."""

    name: str

    def embed(self, texts: Sequence[str]) -> Floats:
        """Unit rows (n, d) float32, each a function of its text alone; zeros for one without words.

        Raises EmbeddingUnavailable.
        """


# what a line says besides its figures: a text, or figures that nobody makes a metric of
type Metadata = Mapping[str, str | Mapping[str, float]]


class MetricsSink(Protocol):
    """Where the figures of a request or a message go. Never raises."""

    def emit(self, arm: str | None, values: Mapping[str, float], metadata: Metadata) -> None:
        """Records `values` of an arm, or of none, by metric name, units as in `metric_names`.

        Ids, reasons, versions and the steps' times are metadata. Neither a user's id nor any text may be.
        """
