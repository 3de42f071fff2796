"""The stand-in LLM's judgement: reads the prompt that is really sent, and compares words.

It shares no code with the prompt's maker, and knows nothing of users, clicks or the catalogue.
"""

import hashlib
import json
import re

_FENCE = re.compile(r"<<<DATA (\w+)\n(.*?)\n\1 DATA>>>", re.DOTALL)
NOISE = 7


def judge(prompt: str) -> list[dict[str, object]] | None:
    """An entry for each item in the prompt's fence, None for a prompt without one.

    Relevance is the share of the intent's weight that an item's words cover, earlier words weighing more, plus a
    little noise that is fixed by the texts.
    """
    found = _FENCE.search(prompt)
    if found is None:
        return None
    data = json.loads(found[2])
    words = str(data["intent"]).split()
    weights = {word: 1 / (1 + place / 3) for place, word in enumerate(words)}
    whole = sum(weights.values()) or 1.0
    entries: list[dict[str, object]] = []
    for item in data["items"]:
        covered = sum(weights[word] for word in set(str(item["text"]).split()) & weights.keys())
        noise = hashlib.blake2b(f"{data['intent']}\0{item['text']}".encode(), digest_size=2).digest()
        relevance = (100 - NOISE) * covered / whole + int.from_bytes(noise) % NOISE
        entries.append({"i": item["i"], "relevance": round(relevance), "allowed": True})
    return entries
