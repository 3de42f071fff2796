"""What a model charges, and what a day may cost."""

from collections.abc import Mapping
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from flagrank.errors import CostCapReached
from flagrank.rerank.providers import provider_of

# the price of every model that has none of its own
ANY_MODEL = "*"
# what a call of a batch costs of the price of one that is answered at once, for every model that takes batches
# (https://aws.amazon.com/bedrock/pricing/, read 2026-11-26)
BATCH_PRICE = 0.5
# documents that Bedrock's rerank models take for the price of one query; a call with more is billed as several
DOCUMENTS_PER_QUERY = 100


class Price(BaseModel):
    """A model's price: USD per million tokens, and USD per thousand queries for models that charge by the query."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    input_usd: Annotated[float, Field(ge=0)] = 0.0
    output_usd: Annotated[float, Field(ge=0)] = 0.0
    thousand_queries_usd: Annotated[float, Field(ge=0)] = 0.0


def over_cap(daily_usd_cap: float, spent_micro_usd: int) -> CostCapReached | None:
    """The trouble that the day's money is spent; None while it is not."""
    if spent_micro_usd < daily_usd_cap * 1e6:
        return None
    return CostCapReached(f"{spent_micro_usd} micro-USD spent today")


def price_of(prices: Mapping[str, Price], model_id: str) -> Price:
    """The model's own price, else its provider's (`rerank:*`), else that of ANY_MODEL, which `prices` holds."""
    of_provider = f"{provider_of(model_id)}:{ANY_MODEL}"
    return prices.get(model_id) or prices.get(of_provider) or prices[ANY_MODEL]


def cost_micro_usd(
    prices: Mapping[str, Price], model_id: str, input_tokens: int, output_tokens: int, queries: int = 0
) -> int:
    """What so many tokens and queries cost, in micro-USD. `prices` holds one for ANY_MODEL."""
    price = price_of(prices, model_id)
    by_token = input_tokens * price.input_usd + output_tokens * price.output_usd
    return round(by_token + queries * price.thousand_queries_usd * 1000)
