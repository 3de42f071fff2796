"""The listwise micro-batch prompt: static instructions first, then hostile data behind a nonce fence."""

import hashlib
import math
import random
import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache

import orjson

from flagrank.ports import Prompt
from flagrank.rerank.answers import AnswerForm

MAX_TEXT_CHARS = 240
CHARS_PER_TOKEN = 3.0
TOKENS_PER_TWO_BYTE_CHAR = 1.5
# bytes of UTF-8
NOT_ASCII = bytes(range(0x80, 0x100))
TWO_BYTE_LEADS = bytes(range(0xC2, 0xE0))

# letters, marks on them, numbers, punctuation and symbols
PRINTED = frozenset("Lu Ll Lt Lm Lo Mn Mc Nd Nl No Pc Pd Ps Pe Pi Pf Po Sm Sc Sk So".split())
# the fillers, joiners and selectors among those: Unicode's Default_Ignorable_Code_Point, and the blank of Braille
# https://www.unicode.org/Public/UCD/latest/ucd/DerivedCoreProperties.txt
INVISIBLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)

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
    """A text made harmless: NFKC, nothing but what a reader could see, fence marks broken, length capped."""
    normal = unicodedata.normalize("NFKC", text)
    printable = normal if normal.isascii() and normal.isprintable() else "".join(map(_printable, normal))
    return _FENCE.sub(" ", printable)[:MAX_TEXT_CHARS].strip()


@lru_cache(4096)
def _printable(char: str) -> str:
    is_text = unicodedata.category(char) in PRINTED and not INVISIBLE.match(char)
    return char if is_text else " "


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
    """A cautious estimate of a text's tokens, by script.

    ASCII, English and JSON alike: 3 characters a token. Accents, Greek, Cyrillic, Hebrew and Arabic, which take 2 bytes
    of UTF-8: 1.5 tokens a character. All other scripts and emoji: a token a byte, the most that a byte-level tokenizer
    can make of them. Claude 2's and Mistral's own tokenizers count less in each (tests/unit/rerank/test_prompting.py).
    """
    encoded = text.encode(errors="surrogatepass")
    ascii_chars = len(encoded.translate(None, NOT_ASCII))
    if ascii_chars == len(encoded):
        return math.ceil(ascii_chars / CHARS_PER_TOKEN)
    two_byte_chars = len(encoded) - len(encoded.translate(None, TWO_BYTE_LEADS))
    other_bytes = len(encoded) - ascii_chars - 2 * two_byte_chars
    return math.ceil(ascii_chars / CHARS_PER_TOKEN + two_byte_chars * TOKENS_PER_TWO_BYTE_CHAR + other_bytes)
