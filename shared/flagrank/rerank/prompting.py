"""The listwise micro-batch prompt: static instructions first, then hostile data behind a nonce fence."""

import hashlib
import math
import random
import re
import unicodedata
from collections.abc import Sequence

import orjson

from flagrank.ports import Prompt
from flagrank.rerank.answers import AnswerForm

MAX_TEXT_CHARS = 240
CHARS_PER_TOKEN = 3.0

_FENCE = re.compile(r"<{2,}|>{2,}")


def build_prompt(intent: str, texts: Sequence[str], form: AnswerForm) -> Prompt:
    """The prompt that asks for one relevance per text, by index 0..n-1, in one form of the answer."""
    items = [{"i": index, "text": clean(text)} for index, text in enumerate(texts)]
    data = orjson.dumps({"intent": clean(intent), "items": items}).decode()
    # nobody can write a text that holds the digest of the data it is part of
    nonce = hashlib.sha256(data.encode()).hexdigest()[:16]
    user = f"<<<DATA {nonce}\n{data}\n{nonce} DATA>>>"
    return Prompt(system=form.system, user=user, size=len(texts), schema=form.schema)


def clean(text: str) -> str:
    """A text made harmless: NFKC, control and format characters out, fence marks broken, length capped."""
    normal = unicodedata.normalize("NFKC", text)
    printable = normal if normal.isprintable() else "".join(map(_printable, normal))
    return _FENCE.sub(" ", printable)[:MAX_TEXT_CHARS].strip()


def _printable(char: str) -> str:
    return " " if unicodedata.category(char).startswith("C") else char


def shuffled[T](items: Sequence[T], intent: str, version: str) -> list[T]:
    """The items in an order that is fixed per intent and prompt version.

    Listwise judges favour early slots whatever they are told (FACTS: NDCG halves from slot 5 to 19), so the slot must
    not repeat the baseline's rank, and must be the same again for the same question.
    """
    shuffled_items = list(items)
    seed = hashlib.sha256(f"{version}\0{intent}".encode()).digest()
    random.Random(seed).shuffle(shuffled_items)  # noqa: S311 - an order, not a secret
    return shuffled_items


def estimate_input_tokens(prompt: Prompt) -> int:
    """A cautious estimate of the prompt's tokens."""
    return estimate_tokens(prompt.system + prompt.user)


def estimate_tokens(text: str) -> int:
    """A cautious estimate of a text's tokens: English text runs at about four characters a token, JSON below."""
    return math.ceil(len(text) / CHARS_PER_TOKEN)
