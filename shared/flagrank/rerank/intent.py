"""What the user wants, as a short deterministic text: the same words always give the same cache key."""

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from flagrank.model.catalog import CatalogItem
from flagrank.model.factors import Lexicon

ITEM_TEXT_TOKENS = 24
PROFILE_ITEMS = 20
PROFILE_TOKENS = 8
MAX_EXPANSIONS = 6
# some 10 MB
MAX_REMEMBERED = 10_000

_TOKEN = re.compile(r"\w+")
STOP_WORDS = frozenset(
    """
    a an and any are as at be best buy by can for from get give good great have i in is it like looking me my need of
    on or please recommend really show so some something that the them these this to very want what which with would you
    """.split()
)


@dataclass(frozen=True, slots=True)
class Intent:
    """What to judge items against: canonical tokens, then what they imply. Empty when nothing is known."""

    tokens: tuple[str, ...] = ()
    expansions: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The intent as the LLM reads it and as the cache is keyed."""
        return " ".join((*self.tokens, *self.expansions))

    def __bool__(self) -> bool:
        return bool(self.tokens)


def tokenise(text: str, lexicon: Lexicon) -> list[str]:
    """Lower-case NFKC word tokens, synonyms folded, stop words out, first of each duplicate kept, in order."""
    # lower-casing can leave NFKC, so it is applied on both sides: a rewritten text must rewrite to itself
    words = _TOKEN.findall(unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).lower()))
    folded = (lexicon.synonyms.get(word, word) for word in words if word not in STOP_WORDS)
    return list(dict.fromkeys(folded))


def rewrite_query(query: str, lexicon: Lexicon) -> Intent:
    """The intent of a free-text query."""
    return intent_of(tokenise(query, lexicon), lexicon)


def intent_of(tokens: Sequence[str], lexicon: Lexicon) -> Intent:
    """The intent of canonical tokens, with what they imply."""
    implied = dict.fromkeys(word for token in tokens for word in lexicon.expansions.get(token, ()))
    return Intent(tuple(tokens), tuple(word for word in implied if word not in tokens)[:MAX_EXPANSIONS])


def profile_intent(recent: Sequence[CatalogItem], lexicon: Lexicon) -> Intent:
    """The intent of a user without a query: what recurs in the recent items, commonest first."""
    counts = Counter[str]()
    for item in recent[-PROFILE_ITEMS:]:
        counts.update(_words(f"{item.category} {item.text}", lexicon))
    # most tokens are those of one item alone, and need no place in the order
    least = min(sorted(counts.values(), reverse=True)[:PROFILE_TOKENS], default=0)
    often = sorted((-count, token) for token, count in counts.items() if count >= least)
    return Intent(tuple(token for _, token in often[:PROFILE_TOKENS]))


def _words(text: str, lexicon: Lexicon) -> tuple[str, ...]:
    remembered = lexicon.remembered_words
    words = remembered.get(text)
    if words is None:
        if len(remembered) >= MAX_REMEMBERED:
            remembered.clear()
        words = remembered[text] = tuple(tokenise(text, lexicon))
    return words


def rewrite_item(
    title: str, category: str, description: str, lexicon: Lexicon, max_tokens: int = ITEM_TEXT_TOKENS
) -> str:
    """An item's text as prompts show it: title, category and description as canonical tokens, capped."""
    return " ".join(tokenise(f"{title} {category} {description}", lexicon)[:max_tokens])
