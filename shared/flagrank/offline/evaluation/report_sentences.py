"""The evaluation in sentences: is it better, by how much, for whom, does the LLM help, and what to do."""

from collections.abc import Iterator, Mapping
from typing import Any

METRIC = "ndcg@10"


def sentences(document: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """A question and its answer, one after another; every answer follows from intervals of the report."""
    yield "Is it better?", _better(document)
    yield "For whom?", _for_whom(document["gain_by_activity"])
    llm = _llm(document)
    if llm:
        yield "Does the LLM help?", llm
    yield "What to do?", _advice(document)


def _better(document: Mapping[str, Any]) -> str:
    first, second, popular = (document[name][METRIC] for name in ("stage1", "stage2", "popularity"))
    change = document["delta"][METRIC]
    reached = f"NDCG@10 is {second:.3f} with Stage 2, {first:.3f} with Stage 1 alone and {popular:.3f} by popularity"
    verdicts = {
        1: "Yes: Stage 2 orders better than Stage 1",
        -1: "No: Stage 2 orders worse than Stage 1",
        0: "That cannot be told: the interval of Stage 2's change holds 0",
    }
    against = "" if max(first, second) > popular else " Neither is better than popularity."
    return f"{verdicts[_sign(change)]}. {reached}; the change is {_interval(change)}.{against}"


def _for_whom(groups: list[Mapping[str, Any]]) -> str:
    found: dict[int, list[str]] = {1: [], -1: [], 0: []}
    for group in groups:
        first, last = group["interactions"]
        found[_sign(group[METRIC])].append(f"{first} to {last}")
    words = {1: "better", -1: "worse", 0: "not to be told apart"}
    said = [f"{words[sign]} for users with {_listed(names)} interactions" for sign, names in found.items() if names]
    return f"Stage 2's lists are {'; '.join(said)}."


def _llm(document: Mapping[str, Any]) -> str:
    said = []
    for name, effect in document.get("llm", {}).items():
        alpha, change = max(effect["alpha"].items(), key=lambda item: float(item[1][METRIC]["mean"]))
        helps = {1: "helps", -1: "hurts", 0: "changes nothing that can be told"}[_sign(change[METRIC])]
        weight = f"at the best weight, alpha {alpha}: {_interval(change[METRIC])}"
        said.append(f"Without a query the LLM simulated by {name} {helps} {weight}.")
    return " ".join([*said, *_queries(document.get("catalogue_queries", {}))])


def _queries(kinds: Mapping[str, Any]) -> Iterator[str]:
    judges = dict.fromkeys(name for found in kinds.values() for name in found["delta"])
    for judge in judges:
        changes = {kind.replace("_", " "): found["delta"][judge][METRIC] for kind, found in kinds.items()}
        told = {sign: [kind for kind, each in changes.items() if _sign(each) == sign] for sign in (1, -1)}
        if not told[1] and not told[-1]:
            yield f"With a query, judged by {judge}, no kind of query changes so that it can be told."
            continue
        said = []
        for sign, verb in ((1, "gain"), (-1, "lose")):
            if told[sign]:
                most = max(told[sign], key=lambda kind: abs(float(changes[kind]["mean"])))
                said.append(f"the kinds {_listed(told[sign])} {verb}, most {most}: {_interval(changes[most])}")
        yield f"With a query, judged by {judge}: {'; '.join(said)}."


def _advice(document: Mapping[str, Any]) -> str:
    advice = {
        1: "Publish the set with Stage 2.",
        -1: "Train with --stage2 none, and look at what the data lack.",
        0: "Stage 1 alone is as good as can be told; Stage 2 may be left out (--stage2 none).",
    }[_sign(document["delta"][METRIC])]
    said = [advice]
    for name, blend in document.get("blend", {}).items():
        for alpha, found in blend.items():
            where = "requests with a query" if alpha == "alpha_query" else "requests without a query"
            weight = float(found["chosen"])
            what = "leave the LLM out" if weight >= 1 else f"let the LLM judge, with {alpha} {weight:g}"
            said.append(f"For {where} {what} (simulated by {name}).")
    if len(said) > 1:
        said.append("A simulated LLM is no real one: begin in shadow mode, and raise the percentage by a ramp.")
    return " ".join(said)


def _sign(change: Mapping[str, Any]) -> int:
    low, high = change["ci95"]
    return 1 if low > 0 else -1 if high < 0 else 0


def _interval(change: Mapping[str, Any]) -> str:
    low, high = change["ci95"]
    return f"{change['mean']:+.4f} (95 % interval {low:+.4f} to {high:+.4f})"


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
