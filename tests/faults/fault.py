"""What can go wrong between an environment and a service."""

from enum import StrEnum

SERVICES = ("s3", "dynamodb", "appconfig", "bedrock", "sqs")


class Fault(StrEnum):
    """One kind of trouble. The last two are the environment's own; the proxy makes the others."""

    NONE = "none"
    REFUSED = "refused"
    RESET = "reset mid-body"
    SLOW = "10x the budget late"
    DRIP_FAST = "a byte per 0.3 s"
    DRIP_SLOW = "a byte per 1 s"
    FAILING = "500"
    SLOW_DOWN = "503 SlowDown"
    THROTTLED = "429 Retry-After"
    FORBIDDEN = "403"
    TRUNCATED = "truncated"
    CORRUPTED = "wrong checksum"
    WRONG_SHAPE = "JSON of another shape"
    NO_NAME = "DNS failure"
    CLOCK_AHEAD = "clock 2 h ahead"
    CLOCK_BEHIND = "clock 2 h behind"


CLOCK_SHIFTS_S = {Fault.CLOCK_AHEAD: 7200.0, Fault.CLOCK_BEHIND: -7200.0}
DRIPS_S = {Fault.DRIP_FAST: 0.3, Fault.DRIP_SLOW: 1.0}
# status, code, and further headers
REFUSALS: dict[Fault, tuple[int, str, dict[str, str]]] = {
    Fault.FAILING: (500, "InternalServerException", {}),
    Fault.SLOW_DOWN: (503, "SlowDown", {}),
    Fault.THROTTLED: (429, "ThrottlingException", {"Retry-After": "1"}),
    Fault.FORBIDDEN: (403, "AccessDeniedException", {}),
}
