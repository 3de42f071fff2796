"""Everything Flagrank raises on purpose.

FlagrankError
├── InvalidRequest          the caller's fault: 422, names the field
├── UnknownItem             an item that the set does not hold: 404
├── UnsupportedEvent        an event that a function has no answer to: the invocation fails
├── FactorsUnavailable      no factors to serve from: 503
├── UsersUnavailable        a user's row could not be read; served as a cold or folded-in user, with the `problem`
├── BaselineFailed          a bug in the baseline: 500, counted in the arm that was decided
├── ConfigurationError      the environment or flag settings make no sense: exit 2
├── DataError               a bad input file: file, line, expected; exit 2
├── EmbeddingUnavailable    no embedder of that name, or it gave no answer; exit 1
├── ArtifactError           an artifact set that does not verify; the reader keeps the old one
├── PublishConflict         another publisher moved the pointer first; exit 1
├── CloudError              AWS refused or did not answer; exit 1
├── QueueUnavailable        the queue did not take a task; the request is answered all the same
├── UnreadableMessage       a message of the queue that is no task of ours; it ends in the dead-letter queue
├── RolloutRefused          a flag change that was refused; exit 1
└── RerankError             degrades to the baseline; each leaf has a `reason`
    ├── BudgetExhausted     budget
    ├── BreakerOpen         breaker_open
    ├── CostCapReached      cost_cap
    ├── RerankTimeout       timeout
    ├── LLMThrottled        throttled
    ├── LLMRejected         llm_rejected
    ├── LLMUnavailable      llm_unavailable
    ├── MalformedAnswer     parse
    ├── CutOffAnswer        cut_off
    ├── LowCoverage         low_coverage
    ├── AllTied             all_tied
    ├── CacheUnavailable    cache
    └── UnknownRerankError  unknown
"""

from typing import ClassVar

from flagrank.domain import Arm, Reason, UserProblem


class FlagrankError(Exception):
    """Base of every deliberate error."""


class InvalidRequest(FlagrankError):
    """A request that can never succeed as written."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")
        self.field = field
        self.problem = problem


class UnknownItem(FlagrankError):
    """A question about an item that the set does not hold."""


class UnsupportedEvent(FlagrankError):
    """An event that this function has no answer to."""


class FactorsUnavailable(FlagrankError):
    """No verified factors are loaded."""


class UsersUnavailable(FlagrankError):
    """A part of the users' file could not be read, or was not what the set promises."""

    def __init__(self, problem: UserProblem, detail: str) -> None:
        super().__init__(f"{problem}: {detail}")
        self.problem = problem


class BaselineFailed(FlagrankError):
    """The baseline of a request failed in a way that nobody foresaw; `__cause__` says how.

    `draw`, `arm` and `assignment` are what the flag decided for the user before that.
    """

    def __init__(self, draw: int | None, arm: Arm, assignment: Reason) -> None:
        super().__init__(f"the baseline failed for a user in {arm}")
        self.draw = draw
        self.arm = arm
        self.assignment = assignment


class ConfigurationError(FlagrankError):
    """A setting is missing or out of range."""


class DataError(FlagrankError):
    """An input file that cannot be read as promised."""

    def __init__(self, file: str, line: int | None, expected: str) -> None:
        where = file if line is None else f"{file}:{line}"
        super().__init__(f"{where}: {expected}")
        self.file = file
        self.line = line
        self.expected = expected


class EmbeddingUnavailable(FlagrankError):
    """The embedder is not installed, not known, or gave no usable answer."""


class ArtifactError(FlagrankError):
    """An artifact set whose manifest, checksum, shape or dtype is not as promised."""


class PublishConflict(FlagrankError):
    """The pointer moved between read and write."""


class CloudError(FlagrankError):
    """AWS refused, or did not answer."""


class QueueUnavailable(FlagrankError):
    """The queue of judgement tasks did not take one."""


class UnreadableMessage(FlagrankError):
    """A message of the queue that is no task of ours."""


class RolloutRefused(FlagrankError):
    """A flag change that must not go out."""


class RerankError(FlagrankError):
    """Anything that makes a treated request fall back to the baseline."""

    reason: ClassVar[Reason] = Reason.UNKNOWN


class BudgetExhausted(RerankError):
    """Too little of the request budget was left to begin."""

    reason = Reason.BUDGET


class BreakerOpen(RerankError):
    """The LLM has been failing; it is not asked until the next probe."""

    reason = Reason.BREAKER_OPEN


class CostCapReached(RerankError):
    """The day's spend has reached the flag's `daily_usd_cap`."""

    reason = Reason.COST_CAP


class RerankTimeout(RerankError):
    """A call or the request ran out of its budget."""

    reason = Reason.TIMEOUT


class LLMThrottled(RerankError):
    """The LLM service refused for load or quota."""

    reason = Reason.THROTTLED


class LLMRejected(RerankError):
    """The LLM service refused the request itself (parameters, access, model); a retry cannot help."""

    reason = Reason.LLM_REJECTED


class LLMUnavailable(RerankError):
    """The LLM service failed or could not be reached."""

    reason = Reason.LLM_UNAVAILABLE


class MalformedAnswer(RerankError):
    """No rung of the salvage ladder held."""

    reason = Reason.PARSE


class CutOffAnswer(RerankError):
    """The answer stopped for a reason other than being complete."""

    reason = Reason.CUT_OFF


class LowCoverage(RerankError):
    """Too few of the items were scored to trust the order."""

    reason = Reason.LOW_COVERAGE


class AllTied(RerankError):
    """Every score is the same: the answer carries no order."""

    reason = Reason.ALL_TIED


class CacheUnavailable(RerankError):
    """The score cache could not be read. The day's spend lies beside the scores, so the LLM is not asked either."""

    reason = Reason.CACHE


class UnknownRerankError(RerankError):
    """A failure that nobody foresaw. It is counted and alarmed on."""

    reason = Reason.UNKNOWN
