"""Judges that stand in for an LLM, on a laptop and in evaluation. They read the prompt that is really sent.

They share no code with the prompt's maker, and know nothing of users, clicks or the catalogue.
"""

import hashlib
import json
import math
import random
import re
from collections.abc import Callable
from typing import Any

from flagrank.ports import Completion, Embedder, Prompt

NOISE = 7
CHARS_PER_TOKEN = 4

_FENCE = re.compile(r"<<<DATA (\w+)\n(.*?)\n\1 DATA>>>", re.DOTALL)

type Judge = Callable[[str], list[dict[str, Any]] | None]


def judge(prompt: str) -> list[dict[str, Any]] | None:
    """By words: an entry for each item in the prompt's fence, None for a prompt without one.

    Relevance is the share of the intent's weight that an item's words cover, earlier words weighing more, plus a
    little noise that is fixed by the texts.
    """
    data = _asked(prompt)
    if data is None:
        return None
    words = str(data["intent"]).split()
    weights = {word: 1 / (1 + place / 3) for place, word in enumerate(words)}
    whole = sum(weights.values()) or 1.0
    entries: list[dict[str, Any]] = []
    for item in data["items"]:
        covered = sum(weights[word] for word in set(str(item["text"]).split()) & weights.keys())
        noise = hashlib.blake2b(f"{data['intent']}\0{item['text']}".encode(), digest_size=2).digest()
        relevance = (100 - NOISE) * covered / whole + int.from_bytes(noise) % NOISE
        entries.append({"i": item["i"], "relevance": round(relevance), "allowed": True})
    return entries


class EmbeddingJudge:
    """By meaning: the cosine between the intent's embedding and each item's, 0 and below as no fit at all."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self._known: dict[str, Any] = {}

    def __call__(self, prompt: str) -> list[dict[str, Any]] | None:
        """An entry for each item in the prompt's fence, None for a prompt without one."""
        data = _asked(prompt)
        if data is None:
            return None
        texts = [str(data["intent"]), *(str(item["text"]) for item in data["items"])]
        missing = [text for text in dict.fromkeys(texts) if text not in self._known]
        self._known.update(zip(missing, self._embedder.embed(missing), strict=True))
        intent, *items = (self._known[text] for text in texts)
        return [
            {"i": item["i"], "relevance": round(100 * max(0.0, float(intent @ row))), "allowed": True}
            for item, row in zip(data["items"], items, strict=True)
        ]


class InProcessLLM:
    """A judge as an LLM without a network; a share of its answers is `malformed`, by seeded dice."""

    def __init__(self, judge: Judge, malformed: float = 0.0, seed: int = 0) -> None:
        self._judge = judge
        self._malformed = malformed
        self._dice = random.Random(seed)  # noqa: S311 - a stand-in's dice

    def complete(self, prompt: Prompt, *, model_id: str, max_output_tokens: int, timeout_ms: int) -> Completion:
        """The judge's answer at once, in the form that the answer schema asks for or, now and then, in none."""
        text = json.dumps(answer_of(self._judge(prompt.user), prompt.system))
        if self._dice.random() < self._malformed:
            text = text.replace('"', "", 1).rstrip("]}")
        tokens = (math.ceil(len(part) / CHARS_PER_TOKEN) for part in (prompt.system + prompt.user, text))
        return Completion(text, "end_turn", *tokens)


def answer_of(entries: list[dict[str, Any]] | None, system: str) -> dict[str, Any]:
    """The answer's object in the form that the system prompt shows: an entry an item, or numbers in their order."""
    if '{"scores"' not in system:
        return {"items": entries}
    return {"scores": [entry["relevance"] for entry in sorted(entries or [], key=lambda entry: entry["i"])]}


def _asked(prompt: str) -> dict[str, Any] | None:
    found = _FENCE.search(prompt)
    return json.loads(found[2]) if found else None
