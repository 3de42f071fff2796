"""A real model behind the local cloud, instead of the stand-in: what the function and its flag are told."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from flagrank.flags.document import FlagDocument

# seconds instead of milliseconds, and few items: nobody's laptop judges sixty while somebody waits
PATIENCE: Mapping[str, Any] = {"request_budget_ms": 20_000, "call_budget_ms": 15_000, "top_m": 20}
KEY_VARIABLE = "FLAGRANK_OPENAI_KEY"


@dataclass(frozen=True, slots=True)
class RealModel:
    """A model behind an OpenAI-compatible API. `parallel_calls` is how many it answers at a time."""

    url: str
    name: str
    key: str = field(default="", repr=False)
    parallel_calls: int | None = None
    is_free: bool = False
    structured_output: str = "json_schema"

    def flag(self, document: FlagDocument, *, patient: bool) -> FlagDocument:
        """The document with this model, and with budgets that it can keep where it is to be `patient`."""
        budgets = PATIENCE if patient else {}
        return document.model_copy(update={"model_id": f"openai:{self.name}", **budgets})

    def settings(self) -> dict[str, str]:
        """The function's settings."""
        found = {"FLAGRANK_OPENAI_URL": self.url, "FLAGRANK_OPENAI_STRUCTURED_OUTPUT": self.structured_output}
        if self.parallel_calls is not None:
            found["FLAGRANK_PARALLEL_CALLS"] = str(self.parallel_calls)
        if self.is_free:
            found["FLAGRANK_PRICES"] = orjson.dumps({"*": {}}).decode()
        return found

    def secrets(self) -> dict[str, str]:
        """The function's secrets."""
        return {KEY_VARIABLE: self.key} if self.key else {}
