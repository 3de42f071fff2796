"""The one list of prices, dated and with a source for each: `prices.json`."""

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from itertools import pairwise
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from flagrank.rerank.pricing import Price

Usd = Annotated[float, Field(ge=0)]


class Sourced(BaseModel):
    """Where a price is from. `assumed`: no source could be read on the list's date."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: str
    assumed: bool = False


class UnitPrice(Sourced):
    """USD for `per` units, by tiers of a month's quantity: each holds from its first number on."""

    per: Annotated[int, Field(gt=0)]
    tiers: Annotated[tuple[tuple[Annotated[float, Field(ge=0)], Usd], ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _rising(self) -> Self:
        starts = [start for start, _ in self.tiers]
        if starts[0] != 0 or any(low >= high for low, high in pairwise(starts)):
            raise ValueError("the tiers of a price begin at 0 and rise")
        return self

    def usd(self, quantity: float) -> float:
        """What a month's quantity costs."""
        ends = [start for start, _ in self.tiers[1:]] + [float("inf")]
        spans = zip(self.tiers, ends, strict=True)
        return sum(max(0.0, min(quantity, end) - start) * usd for (start, usd), end in spans) / self.per


class ModelPrice(Sourced, Price):
    """A model's price, as the daily cap counts it (see Price)."""


class BatchShare(Sourced):
    """What a batch costs of the price of a call that is answered at once."""

    usd: Annotated[float, Field(gt=0, le=1)]


class PriceList(BaseModel):
    """Prices of one region on one date."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    region: str
    currency: str
    dated: str
    note: str
    prices: Mapping[str, UnitPrice]
    models: Mapping[str, ModelPrice]
    batch_share: BatchShare

    def assumed(self) -> list[str]:
        """The names of the prices that no source was read for."""
        entries: list[tuple[str, Sourced]] = [*self.prices.items(), *self.models.items()]
        return [name for name, entry in entries if entry.assumed]


@cache
def price_list() -> PriceList:
    """The list that this release was written with."""
    return PriceList.model_validate_json(files("flagrank.costs").joinpath("prices.json").read_bytes())
