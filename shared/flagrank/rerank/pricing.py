"""What a model charges."""

from collections.abc import Mapping
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

# the price of every model that has none of its own
ANY_MODEL = "*"


class Price(BaseModel):
    """A model's price in USD per million tokens."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    input_usd: Annotated[float, Field(ge=0)]
    output_usd: Annotated[float, Field(ge=0)]


def cost_micro_usd(prices: Mapping[str, Price], model_id: str, input_tokens: int, output_tokens: int) -> int:
    """What so many tokens cost, in micro-USD. `prices` holds one for ANY_MODEL."""
    price = prices.get(model_id) or prices[ANY_MODEL]
    return round(input_tokens * price.input_usd + output_tokens * price.output_usd)
