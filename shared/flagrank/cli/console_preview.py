"""Answers one request in both arms, in the operator's own process: what the console previews."""

import threading
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from flagrank.cli.target import Target
from flagrank.console.preview import Answer, Previewed
from flagrank.delivery.deployments import RolloutControl
from flagrank.errors import ConfigurationError
from flagrank.flags.document import FlagDocument

if TYPE_CHECKING:
    from flagrank.serving.pipeline import Recommender

ITEMS = 10
# nobody waits for a preview but the operator: it is to show the LLM's order, not the budget's
REQUEST_BUDGET_MS, CALL_BUDGET_MS = 20_000, 15_000


@dataclass(slots=True)
class ServicePreview:
    """A Preview over the factors, cache and models of the function that serves; nothing is counted or queued."""

    target: Target
    control: RolloutControl
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)
    _recommender: "Recommender | None" = field(default=None, init=False)

    def __call__(self, user_id: str, query: str) -> Previewed:
        """See Preview."""
        deployed = self.control.deployed()
        if deployed.document is None:
            raise ConfigurationError(deployed.unreadable or "nothing is deployed, so nobody would be treated")
        version = deployed.deployment.name if deployed.deployment else ""
        with self._lock:
            self._recommender = self._recommender or self._open()
        return Previewed(
            self._answer(deployed.document.model_copy(update={"enabled": False}), version, user_id, query),
            self._answer(treated(deployed.document), version, user_id, query),
        )

    def _open(self) -> "Recommender":
        from flagrank.bootstrap import build_service

        return build_service(self.target.variables()).recommender

    def _answer(self, document: FlagDocument, version: str, user_id: str, query: str) -> Answer:
        from flagrank.adapters.in_memory import InMemoryFlagSource
        from flagrank.domain import RecommendRequest
        from flagrank.serving.api import answer_document

        assert self._recommender is not None
        flags = InMemoryFlagSource(document, version)
        request = RecommendRequest(user_id, ITEMS, query or None, explain=True)
        return answer_document(replace(self._recommender, flags=flags).recommend(request), explain=True)


def treated(document: FlagDocument) -> FlagDocument:
    """The document as it would treat everyone, with time enough for the LLM within the request."""
    budgets = {"request_budget_ms": REQUEST_BUDGET_MS, "call_budget_ms": CALL_BUDGET_MS}
    everyone = {"enabled": True, "percent": 100.0, "mode": "serve", "path": "inline", "allow": (), "deny": ()}
    return document.model_copy(update=everyone | budgets)
