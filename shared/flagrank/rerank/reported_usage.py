"""What a model says that it used, as far as that can be."""

import logging

import orjson

from flagrank.ports import Prompt
from flagrank.rerank.prompting import estimate_input_tokens

# what a provider may add: its own words about tools to a prompt, thoughts to an answer
ADDED_TOKENS = 2000

logger = logging.getLogger(__name__)


def believed_tokens(reported_input: object, reported_output: object, prompt: Prompt, cap: int) -> tuple[int, int]:
    """The input and output tokens to bill for one call whose answer was capped at `cap` tokens.

    What was reported, where a tokenizer can have counted it: up to a token a byte of input and the cap of output, and
    what a provider may add. Otherwise the prompt's estimate and the cap: money is counted too early, not too late.
    """
    texts_bytes = len((prompt.system + prompt.user).encode(errors="surrogatepass"))
    sent_bytes = texts_bytes + len(orjson.dumps(prompt.schema))
    return (
        _believed("input", reported_input, 1, sent_bytes + ADDED_TOKENS, estimate_input_tokens(prompt)),
        _believed("output", reported_output, 0, cap + ADDED_TOKENS, cap),
    )


def _believed(name: str, reported: object, least: int, most: int, otherwise: int) -> int:
    # a bool is an int, and no count
    if type(reported) is int and least <= reported <= most:
        return reported
    logger.warning("the model reported %.40r %s tokens; %d are counted", reported, name, otherwise)
    return otherwise
