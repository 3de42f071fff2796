"""The options of Stage 1, as a group."""

from dataclasses import dataclass
from typing import Annotated, Any

import typer


@dataclass(frozen=True, slots=True)
class AlsOptions:
    """ALS's parameters: each field is an option (see `with_option_groups`), and None takes the default."""

    factors: Annotated[int | None, typer.Option(min=1, max=1024, help="Dimension of the factors.")] = None
    regularization: Annotated[float | None, typer.Option(min=0)] = None
    alpha: Annotated[float | None, typer.Option(min=1e-6, help="Confidence of one interaction.")] = None
    rating_weight: Annotated[float | None, typer.Option(min=0, help="What a rating point adds to confidence.")] = None
    iterations: Annotated[int | None, typer.Option(min=1)] = None
    seed: Annotated[int | None, typer.Option(min=0)] = None
    text_tokens: Annotated[
        int | None, typer.Option(min=1, max=64, help="Cap of an item's text in prompts. [default: 24]")
    ] = None

    def given(self) -> dict[str, Any]:
        """What was given, by the parameter's name."""
        found = {
            "factors": self.factors,
            "regularization": self.regularization,
            "confidence_scale": self.alpha,
            "rating_weight": self.rating_weight,
            "iterations": self.iterations,
            "seed": self.seed,
            "text_tokens": self.text_tokens,
        }
        return {name: value for name, value in found.items() if value is not None}
