"""A query in the words of a set."""

from hypothesis import given
from hypothesis import strategies as st

from flagrank.model.factors import Factors, Lexicon
from flagrank.model.lexical import build_lexical_index
from flagrank.serving.resolve_query import EXPANSION_WEIGHT, MAX_WORDS, PURPOSE_WEIGHT, resolve_query
from tests.factories import make_factors

TEXTS = ["wireless headset calls music", "oak desk work", "webcam quiet microphone"]
LEXICON = Lexicon({"cordless": "wireless"}, {"calls": ("microphone", "quiet", "unheard")})


def small_set() -> Factors:
    return make_factors(items=3, lexical=build_lexical_index(TEXTS), lexicon=LEXICON)


def weights(query: str) -> dict[str, float]:
    return {term.word: term.weight for term in resolve_query(query, small_set()).terms}


def test_synonyms_are_folded_before_anything_is_looked_for() -> None:
    """Callers write as they like, and the set's own word is what counts."""
    assert weights("Cordless headset") == {"wireless": 1.0, "headset": 1.0}


def test_what_it_is_for_counts_for_less_than_what_it_is() -> None:
    """The words after "for" say a purpose, and what they imply weighs little; unpublished words are left out."""
    found = weights("cordless headset for work calls")
    assert found == {
        "wireless": 1.0,
        "headset": 1.0,
        "work": PURPOSE_WEIGHT,
        "calls": PURPOSE_WEIGHT,
        "microphone": EXPANSION_WEIGHT,
        "quiet": EXPANSION_WEIGHT,
    }


def test_an_opening_is_no_name() -> None:
    """In "looking for a desk" nothing is named before "for"."""
    assert weights("looking for a desk") == {"desk": 1.0}


def test_a_misspelt_word_is_met_by_the_closest_published_one() -> None:
    """Both arms and the LLM read the corrected word, which weighs a little less than one that was spelt well."""
    found = resolve_query("haedset wbcam", small_set())
    assert found.corrected == {"haedset": "headset", "wbcam": "webcam"}
    assert found.intent.tokens == ("headset", "webcam")
    assert all(0.7 < term.weight < 1 for term in found.terms)


def test_a_misspelt_synonym_is_met_by_its_canonical_word() -> None:
    """Texts hold canonical words alone; callers misspell the others as well."""
    assert resolve_query("cordles desk", small_set()).corrected == {"cordles": "wireless"}


def test_words_that_nothing_is_like_are_named() -> None:
    """They are told, and the intent keeps them: an LLM may know them."""
    found = resolve_query("zzyzx desk", small_set())
    assert found.unknown == ("zzyzx",)
    assert found.intent.tokens == ("zzyzx", "desk")


def test_a_query_is_plain_if_it_only_names_what_is_wanted_in_published_words() -> None:
    """None misspelt, none unknown, no purpose, and no more of them than are looked for."""
    plain = {query: resolve_query(query, small_set()).plain for query in ("cordless headset", "looking for a desk")}
    assert plain == {"cordless headset": ("wireless", "headset"), "looking for a desk": ("desk",)}
    for query in ("haedset", "zzyzx desk", "headset for work", " ".join(f"desk{n}" for n in range(MAX_WORDS + 1)), ""):
        assert resolve_query(query, small_set()).plain == ()


def test_a_set_without_an_index_keeps_the_intent_alone() -> None:
    """Sets that were published before there was an index serve as they did."""
    found = resolve_query("cordless desk", make_factors(lexical=None, lexicon=LEXICON))
    assert (found.terms, found.intent.text) == ((), "wireless desk")


@given(query=st.text(max_size=256))
def test_any_text_is_a_query(query: str) -> None:
    """The terms are words of the set, each once, with weights in 0..1, and the work is bounded."""
    factors = small_set()
    found = resolve_query(query, factors)
    assert factors.lexical is not None
    words = [term.word for term in found.terms]
    assert len(set(words)) == len(words) <= MAX_WORDS + 6
    assert all(factors.lexical.vocabulary.find(word) is not None for word in words)
    assert all(0 < term.weight <= 1 for term in found.terms)
