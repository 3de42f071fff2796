"""Simulators of an LLM, for a laptop and for evaluation. They read the prompt that is really sent.

They share no code with the module that builds the prompt, and know nothing of users, clicks or the catalogue.
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

# from a prompt to the answer's entries, one for each item in the prompt's fence; None for a prompt without a fence
type LLMSimulator = Callable[[str], list[dict[str, Any]] | None]


def simulate_by_words(prompt: str) -> list[dict[str, Any]] | None:
    """Relevance is the share of the intent's weight that an item's words cover, plus noise that the texts fix.

    Earlier words of the intent weigh more.
    """
    data = _fenced(prompt)
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


class EmbeddingSimulator:
    """Relevance is the cosine between the intent's embedding and each item's; a negative one counts as 0."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self._known: dict[str, Any] = {}

    def __call__(self, prompt: str) -> list[dict[str, Any]] | None:
        """An entry for each item in the prompt's fence, None for a prompt without one."""
        data = _fenced(prompt)
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


class SimulatedLLM:
    """A simulator as an LLM client without a network; a share of its answers, drawn by `seed`, is `malformed`."""

    def __init__(self, simulator: LLMSimulator, malformed: float = 0.0, seed: int = 0) -> None:
        self._simulator = simulator
        self._malformed = malformed
        self._rng = random.Random(seed)  # noqa: S311 - a simulator's draws

    def complete(self, prompt: Prompt, *, model_id: str, max_output_tokens: int, timeout_ms: int) -> Completion:
        """The simulator's answer at once, in the form that the prompt demands, or malformed."""
        text = json.dumps(answer_of(self._simulator(prompt.user), prompt.system))
        if self._rng.random() < self._malformed:
            text = text.replace('"', "", 1).rstrip("]}")
        tokens = (math.ceil(len(part) / CHARS_PER_TOKEN) for part in (prompt.system + prompt.user, text))
        return Completion(text, "end_turn", *tokens)


def answer_of(entries: list[dict[str, Any]] | None, system: str) -> dict[str, Any]:
    """The answer's object in the form that the system prompt shows: an entry an item, or numbers in their order."""
    if '{"scores"' not in system:
        return {"items": entries}
    return {"scores": [entry["relevance"] for entry in sorted(entries or [], key=lambda entry: entry["i"])]}


def _fenced(prompt: str) -> dict[str, Any] | None:
    found = _FENCE.search(prompt)
    return json.loads(found[2]) if found else None
