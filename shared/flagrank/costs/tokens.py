"""The tokens of a call, from the prompt that this release sends and the answer that it asks for."""

import re

import orjson

from flagrank.rerank.answers import FORMS
from flagrank.rerank.prompting import build_prompt

# English and JSON; `rerank.prompting` estimates with 3, since a cap must not count too little
CHARS_PER_TOKEN = 4.0
# tokenizers keep short words, numbers and marks whole: ten bare numbers are 25 to 36 tokens
PIECES = re.compile(r"\w+|[^\w\s]")
# of two digits, as most judgements are
EXAMPLE = 73


def input_tokens(items: int, item_chars: int, intent_chars: int, form: str) -> float:
    """Tokens of a call for `items` texts of so many characters; `form` is the flag's `answer`."""
    prompt = build_prompt("x" * intent_chars, ["x" * item_chars] * items, FORMS[form])
    return (len(prompt.system) + len(prompt.user)) / CHARS_PER_TOKEN


def output_tokens(items: int, form: str) -> float:
    """Tokens of the answer for `items` texts."""
    return float(len(PIECES.findall(example_answer(items, form))))


def example_answer(items: int, form: str) -> str:
    """An answer as the model gives it."""
    verbose = [{"i": index, "relevance": EXAMPLE, "allowed": True} for index in range(items)]
    return orjson.dumps({FORMS[form].member: verbose if form == "verbose" else [EXAMPLE] * items}).decode()
