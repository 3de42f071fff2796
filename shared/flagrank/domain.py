"""The values that travel through one request. Frozen, free of IO, and without behaviour beyond derivation."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from types import MappingProxyType

type ItemId = int | str
type UserId = int | str
type AttributeValue = float | int | str


class Arm(StrEnum):
    """The experiment's arms."""

    CONTROL = "control"
    TREATMENT = "treatment"


class Mode(StrEnum):
    """How the served list came about."""

    BASELINE = "baseline"
    HYBRID_RERANK = "hybrid_rerank"
    PARTIAL_RERANK = "partial_rerank"
    STUDENT_RERANK = "student_rerank"
    FALLBACK_BASELINE = "fallback_baseline"
    COLD_START = "cold_start"


class Reason(StrEnum):
    """Why a request was served as it was: closed, so that a new kind of trouble cannot hide under an old name."""

    # the rollout decision
    NOT_CONFIGURED = "not_configured"
    DISABLED = "disabled"
    DENY = "deny"
    ALLOW = "allow"
    SPLIT = "split"
    # a treated request for which the LLM was not asked, or not served
    SHADOW = "shadow"
    NO_INTENT = "no_intent"
    NOTHING_TO_RERANK = "nothing_to_rerank"
    ALPHA_ONE = "alpha_one"
    GATED = "gated"
    WARMING = "warming"
    # a treated request whose rerank failed
    BUDGET = "budget"
    BREAKER_OPEN = "breaker_open"
    COST_CAP = "cost_cap"
    TIMEOUT = "timeout"
    THROTTLED = "throttled"
    LLM_REJECTED = "llm_rejected"
    LLM_UNAVAILABLE = "llm_unavailable"
    PARSE = "parse"
    CUT_OFF = "cut_off"
    LOW_COVERAGE = "low_coverage"
    ALL_TIED = "all_tied"
    CACHE = "cache"
    UNKNOWN = "unknown"


class UserKind(StrEnum):
    """Where the user vector came from."""

    KNOWN = "known"
    FOLD_IN = "fold_in"
    COLD = "cold"


class UserProblem(StrEnum):
    """Why it is not known whether training met a user: a closed set, as `Reason`. The request is served without."""

    LATE = "late"
    UNREADABLE = "unreadable"
    DAMAGED = "damaged"
    # reads have been failing, and are not tried until the next probe
    PAUSED = "paused"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Candidate:
    """One retrieved item: its row in the factor arrays, its baseline score (raw) and rank (0 is best).

    `is_new` marks an item without interactions, whose factors are guessed from its text. `sources` names the sources of
    candidates that found it, and `attributes` by name are the item's own: both are read only for an item that is
    explained.
    """

    row: int
    item_id: ItemId
    score: float
    rank: int
    title: str
    category: str
    text: str
    is_new: bool = False
    sources: tuple[str, ...] = ()
    attributes: Mapping[str, AttributeValue] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class QueryMatch:
    """What became of a query's words: how many candidates meet one, which were corrected to what, which are unknown.

    A query is `met_whole` if a candidate meets all of its words, none was misspelt or unknown, and none says a purpose.
    """

    matches: int
    corrected: dict[str, str] = field(default_factory=dict)
    unknown: tuple[str, ...] = ()
    met_whole: bool = False


@dataclass(frozen=True, slots=True)
class Ranked:
    """A candidate in its final place.

    `llm_score` in 0..1, None where the LLM said nothing about it; `student_score` where the student spoke instead.
    """

    candidate: Candidate
    final_score: float
    llm_score: float | None = None
    student_score: float | None = None


@dataclass(frozen=True, slots=True)
class Versions:
    """What answered: enough to replay the request. None where that part was not consulted."""

    factors: str
    flag: str | None = None
    model: str | None = None
    prompt: str | None = None


@dataclass(frozen=True, slots=True)
class RecommendRequest:
    """One validated request. `history` is oldest first; ids are as the caller wrote them."""

    user_id: UserId
    top_k: int = 10
    query: str | None = None
    history: tuple[ItemId, ...] = ()
    exclude: tuple[ItemId, ...] = ()
    category: str | None = None
    filter: str | None = None
    explain: bool = False


@dataclass(frozen=True, slots=True)
class Origin:
    """The ids under which Lambda and API Gateway log a request, empty where unknown: its own line carries both."""

    request_id: str = ""
    gateway_request_id: str = ""


UNKNOWN_ORIGIN = Origin()


@dataclass(frozen=True, slots=True)
class SimilarRequest:
    """One validated request for items like one; ids are as the caller wrote them."""

    item_id: ItemId
    top_k: int = 10
    exclude: tuple[ItemId, ...] = ()
    category: str | None = None
    filter: str | None = None


@dataclass(slots=True)
class Usage:
    """What one judgement used: calls, tokens and micro-USD. Mutable: a judge counts while it works."""

    llm_calls: int = 0
    retries: int = 0
    timeouts: int = 0
    throttled: int = 0
    rejected: int = 0
    parse_failures: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_micro_usd: int = 0

    def add(self, other: "Usage") -> None:
        """Counts another judgement's in."""
        for counter in fields(self):
            setattr(self, counter.name, getattr(self, counter.name) + getattr(other, counter.name))


@dataclass(slots=True)
class RerankTally:
    """What one rerank used, kept even when it fails. Mutable: the error path must not lose the bill."""

    usage: Usage = field(default_factory=Usage)
    cache_hits: int = 0
    cache_misses: int = 0
    cache_failures: int = 0


@dataclass(frozen=True, slots=True)
class ShadowComparison:
    """The order that was served against the one that was not.

    `items` is what the caller would have got, and `overlap` the share of the served list that is in it, 0..1.
    `kendall_tau` is over the reranked head: 1 for the same order, -1 for its reverse.
    """

    items: tuple[ItemId, ...]
    changed: bool
    overlap: float
    kendall_tau: float


@dataclass(frozen=True, slots=True)
class Diagnostics:
    """What `explain=true` shows beside the items. Times in milliseconds, by step.

    `unknown_category` is the category that was asked for where no item is of it.
    `user_problem` says why a user who may be known was served as another; `user_read`, that a store was asked.
    `draw` is the number that placed the user in the split (see `flags.assignment`), None where no flag was in force.
    `llm_share` is the share of the head whose relevance is the LLM's, None where no relevance has a part in the order.
    """

    user: UserKind
    elapsed_ms: dict[str, float]
    tally: RerankTally
    user_problem: UserProblem | None = None
    user_read: bool = False
    intent: str = ""
    rerank_attempted: bool = False
    assignment: Reason = Reason.NOT_CONFIGURED
    draw: int | None = None
    ignored_ids: int = 0
    unknown_category: str | None = None
    flag_stale: bool = False
    shadow: ShadowComparison | None = None
    query: QueryMatch | None = None
    llm_share: float | None = None


@dataclass(frozen=True, slots=True)
class SimilarItems:
    """Items like one, the closest first, and the version of the factors that said so."""

    item_id: ItemId
    items: tuple[Ranked, ...]
    factors_version: str


@dataclass(frozen=True, slots=True)
class Recommendation:
    """The answer, best item first."""

    user_id: UserId
    items: tuple[Ranked, ...]
    mode: Mode
    arm: Arm
    reason: Reason
    versions: Versions
    diagnostics: Diagnostics = field(repr=False)
