"""The options of `flagrank local` that put a real model behind it."""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

import typer

from flagrank.errors import ConfigurationError
from flagrank.local import llama
from flagrank.local.processes import StandIn
from flagrank.local.real_model import KEY_VARIABLE, RealModel
from flagrank.local.serve import HOST
from flagrank.settings import base_url


class BundledModel(StrEnum):
    """The models that an extra brings along."""

    SMOLLM2 = "smollm2"


@dataclass(frozen=True, slots=True)
class RealModelOptions:
    """Which real model to ask, if any."""

    llm: Annotated[
        BundledModel | None,
        typer.Option(help="A real model instead of the stand-in, on loopback; smollm2 comes with the extra `smollm`."),
    ] = None
    llm_url: Annotated[
        str | None,
        typer.Option(
            help=f"... or one behind an OpenAI-compatible API, as in http://127.0.0.1:11434/v1; key: {KEY_VARIABLE}."
        ),
    ] = None
    llm_model: Annotated[str | None, typer.Option(help="... under this name.")] = None

    def check(self) -> None:
        """Raises ConfigurationError, with what to do, for options that do not fit: before training, not after."""
        if (self.llm_url is None) != (self.llm_model is None):
            raise ConfigurationError("--llm-url and --llm-model belong together: where the model is, and its name")
        if self.llm is not None and self.llm_url is not None:
            raise ConfigurationError("--llm brings its own server; choose it or --llm-url")
        if self.llm is not None:
            llama.model_file()
        if self.llm_url is not None:
            try:
                base_url(self.llm_url)
            except ValueError as error:
                raise ConfigurationError(f"--llm-url {error}") from None


@contextlib.contextmanager
def real_model(options: RealModelOptions) -> Iterator[RealModel | None]:
    """The model that the options ask for, running until the block ends; None without one."""
    if options.llm_url is not None and options.llm_model is not None:
        yield RealModel(options.llm_url, options.llm_model, os.environ.get(KEY_VARIABLE, ""))
        return
    if options.llm is None:
        yield None
        return
    server = StandIn("llama", HOST, {})
    try:
        server.wait()
        yield RealModel(server.url + "/v1", options.llm.value, tuning=llama.TUNING)
    finally:
        server.stop()
