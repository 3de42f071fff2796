"""The preview: one request as both arms would answer it, side by side. Pure."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

# the body of an answer with `explain`
type Answer = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Previewed:
    """The same request answered by control, and by treatment as the document in force would treat it."""

    control: Answer
    treatment: Answer


# a user id and a query, which may be empty; raises FlagrankError
type Preview = Callable[[str, str], Previewed]


@dataclass(frozen=True, slots=True)
class Item:
    """An item in its place (1 is the first), how far the other arm has it from there, and why it is there.

    `moved` is positive where it is higher than in control, None where control does not show it.
    """

    place: int
    item_id: str
    title: str
    category: str
    moved: int | None
    scores: str
    sources: str

    @property
    def arrow(self) -> str:
        """The move as an arrow."""
        if self.moved is None:
            return "new"
        return f"↑ {self.moved}" if self.moved > 0 else f"↓ {-self.moved}" if self.moved < 0 else "="

    @property
    def said(self) -> str:
        """The move in words."""
        if self.moved is None:
            return "not in control's list"
        if self.moved == 0:
            return "in the same place as in control"
        return f"{abs(self.moved)} {'higher' if self.moved > 0 else 'lower'} than in control"


@dataclass(frozen=True, slots=True)
class Side:
    """One arm's answer."""

    name: str
    facts: Sequence[tuple[str, str]]
    items: Sequence[Item]


def preview_view(previewed: Previewed) -> dict[str, Any]:
    """Both sides as the page shows them, and what treatment changed in a sentence."""
    places = {entry["item_id"]: place for place, entry in enumerate(previewed.control["items"])}
    treated = list(_items(previewed.treatment, places))
    control = list(_items(previewed.control, places))
    moved = sum(item.moved != 0 for item in treated)
    return {
        "sides": [
            Side("Control", list(_facts(previewed.control)), control),
            Side("Treatment", list(_facts(previewed.treatment)), treated),
        ],
        "summary": f"{moved} of {len(treated)} items are in another place than in control."
        if moved
        else "Both arms show the same list.",
    }


def _items(answer: Answer, places: Mapping[Any, int]) -> Iterator[Item]:
    for place, entry in enumerate(answer["items"]):
        before = places.get(entry["item_id"])
        yield Item(
            place + 1,
            str(entry["item_id"]),
            entry["title"],
            entry["category"],
            None if before is None else before - place,
            ", ".join(_scores(entry)),
            ", ".join(entry["sources"]),
        )


def _scores(entry: Mapping[str, Any]) -> Iterator[str]:
    yield f"baseline {entry['baseline_score']:.3g} (place {entry['baseline_rank']})"
    if entry["llm_score"] is not None:
        yield f"LLM {entry['llm_score']:.2f}"
    if entry["student_score"] is not None:
        yield f"student {entry['student_score']:.2f}"
    yield f"final {entry['final_score']:.3g}"


def _facts(answer: Answer) -> Iterator[tuple[str, str]]:
    told = answer["diagnostics"]
    yield "mode", str(answer["mode"])
    yield "reason", str(answer["reason"])
    yield "user", str(told["user"])
    yield "took", f"{told['elapsed_ms'].get('total', 0.0):.0f} ms"
    yield "LLM", f"{told['llm_calls']} calls, {told['cache_hits']} scores from the cache"
    yield "cost", f"{told['cost_usd']:.6f} USD"
    if answer["versions"]["model"]:
        yield "model", str(answer["versions"]["model"])
