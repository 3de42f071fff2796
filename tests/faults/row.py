"""One row of the fault matrix: a fault comes, callers go on, the fault ends, and the service recovers."""

import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass

from flagrank.delivery.change_record import ChangeRecord
from flagrank.flags.document import FlagDocument
from flagrank.metric_names import MetricName
from flagrank.offline.publishing.versions import activate
from tests.faults.cloud import FaultyCloud
from tests.faults.fault import Fault
from tests.faults.traffic import Answer, Caller, ask_for, p99_ms

GIVE_UP_S = 60.0
ASK_EVERY_S = 0.1
RERANKED = ("hybrid_rerank", "partial_rerank")
IN_A_ROW = 3
# counters that tell of trouble
TROUBLES = (
    MetricName.FALLBACK,
    MetricName.TIMEOUT,
    MetricName.PARSE_FAILURE,
    MetricName.THROTTLED,
    MetricName.BREAKER_OPEN,
    MetricName.LLM_REJECTED,
    MetricName.HANDOFF_FAILURE,
    MetricName.FLAG_STALE,
    MetricName.FLAG_REJECTED,
    MetricName.FACTORS_RELOAD_FAILURE,
    MetricName.UNKNOWN_FAILURE,
    MetricName.FAILURE,
)


@dataclass(frozen=True, slots=True)
class Row:
    """What a fault did. `recovery_s` from its end until every environment was well again; None: not in a minute."""

    service: str
    fault: Fault
    requests: int
    statuses: Counter[int]
    modes: Counter[str]
    reasons: Counter[str]
    p99_ms: float
    counters: dict[str, int]
    recovery_s: float | None

    def text(self) -> str:
        """The row as Markdown."""
        recovery = f"> {GIVE_UP_S:g}" if self.recovery_s is None else f"{self.recovery_s:.1f}"
        counters = ", ".join(f"{name} {count}" for name, count in self.counters.items()) or "-"
        cells = [
            *(self.service, self.fault.value, str(self.requests)),
            *(_shares(counts) for counts in (self.statuses, self.modes, self.reasons)),
            *(f"{self.p99_ms:.0f}", counters, recovery),
        ]
        return f"| {' | '.join(cells)} |"


HEADER = """| service | fault | requests | status | mode | reason | p99 ms | counters | recovery s |
| --- | --- | --- | --- | --- | --- | --- | --- | --- |"""

type IsWell = Callable[[Answer], bool]


@dataclass(frozen=True, slots=True)
class Matrix:
    """Rows over one cloud, which ends each of them well. `sets` are versions in the bucket, to change between."""

    cloud: FaultyCloud
    sets: tuple[str, str]
    seconds: float
    environments: int

    def measure(self, service: str, fault: Fault) -> Row:
        """One row."""
        cloud = self.cloud
        # only what is judged behind the requests goes on the queue
        self._take_path("async" if service == "sqs" else "inline")
        flag, factors = self._served()
        cloud.drained()
        cloud.inject(service, fault)
        try:
            # what has to arrive once the fault is over, or despite it where the fault is another service's
            if service in ("appconfig", "clock"):
                flag = self._flip()
            if service in ("s3", "clock"):
                factors = self._exchange(factors)
            answers = ask_for(cloud.url, self.seconds, self.environments)
        finally:
            cloud.inject(service, Fault.NONE)
        ended_s = time.monotonic()
        documents = cloud.drained()

        def is_well(answer: Answer) -> bool:
            is_treated = answer.mode in RERANKED or service not in ("bedrock", "dynamodb")
            return answer.status == 200 and is_treated and (answer.flag, answer.factors) == (flag, factors)

        return Row(
            service,
            fault,
            len(answers),
            Counter(answer.status for answer in answers),
            Counter(answer.mode for answer in answers),
            Counter(answer.reason for answer in answers),
            p99_ms(answers),
            {name: total for name in TROUBLES if (total := round(sum(_values(each, name) for each in documents)))},
            self._sending_s(ended_s) if service == "sqs" else self.recovery_s(ended_s, is_well),
        )

    def recovery_s(self, ended_s: float, is_well: IsWell) -> float | None:
        """How long after a moment each environment began to answer well, several times in a row.

        None: not within a minute.
        """
        since: defaultdict[str, list[float]] = defaultdict(list)
        lock = threading.Lock()

        def run(seed: int) -> None:
            with closing(Caller(self.cloud.url, seed)) as caller:
                while time.monotonic() < ended_s + GIVE_UP_S and not recovered():
                    answer = caller.ask()
                    with lock:
                        if is_well(answer):
                            since[answer.environment].append(answer.answered_s)
                        else:
                            since[answer.environment].clear()

        def recovered() -> bool:
            with lock:
                return sum(len(times) >= IN_A_ROW for times in since.values()) >= self.environments

        # one more caller than environments, without a pause: the gateway leaves no environment out
        threads = [threading.Thread(target=run, args=[seed]) for seed in range(self.environments + 1)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return max(times[0] for times in since.values() if times) - ended_s if recovered() else None

    def _sending_s(self, ended_s: float) -> float | None:
        """How long after a moment tasks went on the queue again, and none failed to."""
        sent = 0
        while time.monotonic() < ended_s + GIVE_UP_S:
            ask_for(self.cloud.url, ASK_EVERY_S, self.environments)
            documents = self.cloud.drained()
            failed = sum(_values(each, MetricName.HANDOFF_FAILURE) for each in documents)
            sent = 0 if failed else sent + round(sum(_values(each, MetricName.TASKS_SENT) for each in documents))
            if sent >= IN_A_ROW * self.environments:
                return time.monotonic() - ended_s
        return None

    def _served(self) -> tuple[str, str]:
        with closing(Caller(self.cloud.url)) as caller:
            answer = caller.ask()
        return answer.flag, answer.factors

    def _take_path(self, path: str) -> None:
        if self._document().path == path:
            return
        flag = self._deploy(path=path)
        if self.recovery_s(time.monotonic(), lambda answer: answer.flag == flag) is None:
            raise AssertionError(f"not every environment took the path {path}")

    def _flip(self) -> str:
        return self._deploy(alpha=0.31 if self._document().alpha == 0.3 else 0.3)

    def _document(self) -> FlagDocument:
        document = self.cloud.flag_control().deployed().document
        assert document is not None
        return document

    def _deploy(self, **change: object) -> str:
        document = self._document().model_copy(update=change)
        return self.cloud.flag_control().deploy(document, ChangeRecord("tests", "a fault matrix")).name

    def _exchange(self, version: str) -> str:
        other = next(each for each in self.sets if each != version)
        activate(other, self.cloud.straight("s3"), self.cloud.variables["FLAGRANK_BUCKET"])
        return other


def _values(document: dict[str, object], name: str) -> float:
    found = document.get(name, 0.0)
    return sum(found) if isinstance(found, list) else float(found)  # type: ignore[arg-type]


def _shares(counts: Counter[str] | Counter[int]) -> str:
    total = sum(counts.values())
    return ", ".join(
        f"{value}" if count == total else f"{value} {100 * count / total:.0f} %"
        for value, count in counts.most_common()
    )
