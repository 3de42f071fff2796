"""What a model charges."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

ANY_MODEL = "*"


class Price(BaseModel):
    """A model's price in USD per million tokens."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    input_usd: Annotated[float, Field(ge=0)]
    output_usd: Annotated[float, Field(ge=0)]
