"""What a model charges, and what a day may cost."""

from collections.abc import Mapping
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from flagrank.errors import CostCapReached

# the price of every model that has none of its own
ANY_MODEL = "*"
# what a call of a batch costs of the price of one that is answered at once, for every model that takes batches
# (https://aws.amazon.com/bedrock/pricing/, read 2026-11-26)
BATCH_PRICE = 0.5


class Price(BaseModel):
    """A model's price in USD per million tokens."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    input_usd: Annotated[float, Field(ge=0)]
    output_usd: Annotated[float, Field(ge=0)]


def over_cap(daily_usd_cap: float, spent_micro_usd: int) -> CostCapReached | None:
    """The trouble that the day's money is spent; None while it is not."""
    if spent_micro_usd < daily_usd_cap * 1e6:
        return None
    return CostCapReached(f"{spent_micro_usd} micro-USD spent today")


def cost_micro_usd(prices: Mapping[str, Price], model_id: str, input_tokens: int, output_tokens: int) -> int:
    """What so many tokens cost, in micro-USD. `prices` holds one for ANY_MODEL."""
    price = prices.get(model_id) or prices[ANY_MODEL]
    return round(input_tokens * price.input_usd + output_tokens * price.output_usd)
