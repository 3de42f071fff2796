"""The real service over in-memory adapters, as tests want it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import orjson

from flagrank.adapters.in_memory import (
    InlineExecutor,
    InMemoryFactorStore,
    InMemoryFlagSource,
    InMemoryJudgementQueue,
    InMemoryMetrics,
    InMemoryScoreCache,
    ManualClock,
    ScriptedLLM,
)
from flagrank.adapters.in_memory_users import InMemoryUserStore
from flagrank.bootstrap import Adapters, Models, wire
from flagrank.domain import Recommendation, RecommendRequest
from flagrank.flags.document import FlagDocument
from flagrank.ports import Completion, Prompt
from flagrank.serving.service import Service
from flagrank.settings import Settings
from tests.factories import make_factors

ENVIRONMENT = {
    "FLAGRANK_BUCKET": "factors-bucket",
    "FLAGRANK_TABLE": "scores",
    "FLAGRANK_QUEUE_URL": "https://queue.example/tasks",
    "FLAGRANK_APPCONFIG_APPLICATION": "flagrank",
    "FLAGRANK_APPCONFIG_ENVIRONMENT": "test",
    "FLAGRANK_APPCONFIG_PROFILE": "rerank",
}


def items_of(prompt: Prompt) -> list[dict[str, Any]]:
    """The items that a prompt shows."""
    items: list[dict[str, Any]] = orjson.loads(prompt.user.splitlines()[1])["items"]
    return items


def completion_of(scores: list[int], stop_reason: str = "end_turn") -> Completion:
    """A clean answer with these relevances by index, in the compact form."""
    return Completion(orjson.dumps({"scores": scores}).decode(), stop_reason, 100, 50)


def by_item_number(prompt: Prompt) -> Completion:
    """Judges `Thing n` of `tests.factories` by n: the higher the better."""
    return completion_of([min(100, int(item["text"].split()[-1])) for item in items_of(prompt)])


@dataclass
class Wired:
    """A service and the fakes under it; `beside` another one it has that one's clock and cache."""

    flag: FlagDocument | None = field(default_factory=lambda: FlagDocument(enabled=True, percent=100, alpha=0.0))
    answer: Callable[[Prompt], Completion] = by_item_number
    environment: dict[str, str] = field(default_factory=dict)
    factors: Any = field(default_factory=lambda: make_factors(items=200))
    users: InMemoryUserStore = field(default_factory=InMemoryUserStore)
    beside: "Wired | None" = None

    def __post_init__(self) -> None:
        self.clock: ManualClock = self.beside.clock if self.beside else ManualClock()
        self.store = InMemoryFactorStore(self.factors)
        self.flags = InMemoryFlagSource(self.flag)
        self.cache: InMemoryScoreCache = self.beside.cache if self.beside else InMemoryScoreCache(self.clock)
        self.llm = ScriptedLLM(self.answer)
        self.metrics = InMemoryMetrics()
        settings = Settings.from_env({**ENVIRONMENT, **self.environment})
        self.queue = InMemoryJudgementQueue()
        adapters = Adapters(
            self.store,
            self.flags,
            self.cache,
            Models(self.llm),
            self.queue,
            self.metrics,
            background=InlineExecutor(),
            users=self.users,
        )
        self.service: Service = wire(settings, adapters, self.clock)

    def recommend(self, user_id: int | str = 1, **values: Any) -> Recommendation:
        """One request."""
        return self.service.recommend(RecommendRequest(user_id, **values))


def ids(answer: Recommendation) -> list[int | str]:
    """The served item ids."""
    return [entry.candidate.item_id for entry in answer.items]
