"""A real model behind the local cloud, instead of the stand-in: what the function and its flag are told."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from flagrank.flags.document import FlagDocument

# seconds instead of milliseconds, and few items: nobody's laptop judges sixty while somebody waits. The request itself
# asks the model, so that who tries one sees at once what it does
PATIENCE: Mapping[str, Any] = {
    "path": "inline",
    "request_budget_ms": 20_000,
    "call_budget_ms": 15_000,
    "top_m": 20,
}
KEY_VARIABLE = "FLAGRANK_OPENAI_KEY"


@dataclass(frozen=True, slots=True)
class RealModel:
    """A model behind an OpenAI-compatible API. `tuning` is what the function is told of this one alone."""

    url: str
    name: str
    key: str = field(default="", repr=False)
    tuning: Mapping[str, str] = field(default_factory=dict)

    def flag(self, document: FlagDocument, *, patient: bool) -> FlagDocument:
        """The document with this model, and with budgets that it can keep where it is to be `patient`."""
        budgets = PATIENCE if patient else {}
        return document.model_copy(update={"model_id": f"openai:{self.name}", **budgets})

    def settings(self) -> dict[str, str]:
        """The function's settings."""
        return {"FLAGRANK_OPENAI_URL": self.url, **self.tuning}

    def secrets(self) -> dict[str, str]:
        """The function's secrets."""
        return {KEY_VARIABLE: self.key} if self.key else {}
