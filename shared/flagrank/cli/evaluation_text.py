"""The evaluation in a terminal: the same figures as in its JSON, in lines that fit eighty columns."""

from collections.abc import Iterator, Mapping
from typing import Any

from rich.table import Table

HEADINGS = {"recall": "R", "ndcg": "NDCG"}

type Part = Table | str


def parts(document: Mapping[str, Any]) -> Iterator[Part]:
    """Tables and lines, one after another; what was left out of the report is left out here."""
    yield from _quality(document)
    yield _table("Beyond accuracy", document["beyond_accuracy"])
    for group in document["gain_by_activity"]:
        first, last = group["interactions"]
        yield f"users with {first} to {last} interactions: NDCG@10 {interval(group['ndcg@10'])}"
    for group, change in document.get("ablation", {}).items():
        yield f"without {group}: NDCG@10 {interval(change['ndcg@10'])}"
    for name, effect in document.get("llm", {}).items():
        rates = f"fallbacks {effect['fallback_rate']:.2%}, cache hits {effect['cache']['hit_rate']:.1%}"
        yield f"LLM simulated by {name}: {rates}"
        for alpha, change in effect["alpha"].items():
            yield f"  alpha {alpha}: NDCG@10 {interval(change['ndcg@10'])}"
    for name, blend in document.get("blend", {}).items():
        chosen = ", ".join(f"{alpha} {found['chosen']:g}" for alpha, found in blend.items())
        yield f"chosen on validation, judged by {name}: {chosen}"
    if found := document.get("fold_in"):
        yield _fold_in(found)
    if found := document.get("new_items"):
        summary = ", ".join(f"{source} {recall:.3f}" for source, recall in found["recall@10"].items())
        yield f"new items, Recall@10 among those hidden, {found['splits']} splits: {summary}"
    if found := document.get("random_split"):
        summary = ", ".join(f"{stage} {found[stage]['ndcg@10']:.3f}" for stage in ("stage1", "stage2"))
        yield f"random {found['held_out']:.0%} of all held out, mean of {found['seeds']} seeds: NDCG@10 {summary}"
    yield from _on_requests(document)


def interval(change: Mapping[str, Any]) -> str:
    """A mean and its 95 % confidence interval."""
    low, high = change["ci95"]
    return f"{change['mean']:+.4f} [{low:+.4f}, {high:+.4f}]"


def _on_requests(document: Mapping[str, Any]) -> Iterator[Part]:
    for space, rows in document.get("diversity", {}).items():
        shown = {f"{row['mmr_lambda']:g}": _without(row, "mmr_lambda") for row in rows}
        yield _table(f"What diversity of {space} costs, by MMR's lambda", shown)
    for name, found in document.get("student", {}).items():
        yield from _student(name, found)
    if kinds := document.get("catalogue_queries"):
        yield from _catalogue_queries(kinds)
    for name, effect in document.get("queries", {}).items():
        change = interval(effect["delta"]["ndcg@10"])
        before, after = effect["ndcg@10"]["baseline"], effect["ndcg@10"]["reranked"]
        summary = f"NDCG@10 {before:.3f} -> {after:.3f}, {change}; applied to {effect['applied']:.1%}"
        yield f"queries, LLM simulated by {name}: {summary}"
    for name, effect in document.get("gate", {}).items():
        kept = "no gain to keep" if effect["gain_kept"] is None else f"{effect['gain_kept']:.0%} of the gain kept"
        at = f"sparse below {effect['gate_sparse_below']}, flat below {effect['gate_flat_below']:g}"
        yield f"gate, LLM simulated by {name} ({at}): {effect['calls_saved']:.0%} of the calls saved, {kept}"


def _quality(document: Mapping[str, Any]) -> Iterator[Part]:
    metrics = list(document["stage1"])
    headings = [f"{HEADINGS[name]}@{k}" for name, _, k in (metric.partition("@") for metric in metrics)]
    table = Table("", *headings, box=None, title=f"{document['dataset']}: {document['users']} users")
    for name in ("popularity", "stage1", "stage2", "oracle"):
        table.add_row(name, *(f"{document[name][metric]:.4f}" for metric in metrics))
    yield table
    for metric, heading in zip(metrics, headings, strict=True):
        yield f"stage2 - stage1, {heading}: {interval(document['delta'][metric])}"


def _catalogue_queries(kinds: Mapping[str, Any]) -> Iterator[Part]:
    title = "Queries from the whole catalogue"
    yield _table(f"{title}: recall by source", {kind: found["recall"] for kind, found in kinds.items()})
    for metric in ("hits@10", "ndcg@10"):
        yield _table(f"{title}: {metric}", {kind: found[metric] for kind, found in kinds.items()})
    for kind, found in kinds.items():
        for name, change in found["delta"].items():
            yield f"queries, {kind}, judged by {name}: NDCG@10 {interval(change['ndcg@10'])}"


def _student(name: str, found: Mapping[str, Any]) -> Iterator[Part]:
    held_out, would = found["held_out"], "would" if found["published"] else "would not"
    size = sum(found["bytes"].values())
    yield f"student of {name}: {found['judgements']} judgements, {size} bytes; `distill` {would} publish it"
    gain, rho = interval(held_out["ndcg@10"]["gain"]), held_out["rank_correlation"]["student"]["mean"]
    yield f"  {held_out['intents']} held-out intents: NDCG@10 by the LLM's relevance {gain}, rank correlation {rho:.3f}"


def _fold_in(found: Mapping[str, Any]) -> Table:
    stages = {name: rows for name, rows in found["ndcg@10"].items() if name != "popularity"}
    known = list(next(iter(stages.values())))
    title = f"New users: NDCG@10 by known interactions, {found['users']} users"
    table = Table("", *known, box=None, title=title)
    table.add_row("popularity", *[f"{found['ndcg@10']['popularity']['mean']:.3f}"] * len(known))
    for name, rows in stages.items():
        table.add_row(name, *(f"{rows[count]['mean']:.3f}" for count in known))
    return table


def _table(title: str, rows: Mapping[str, Mapping[str, float | None]]) -> Table:
    table = Table("", *next(iter(rows.values())), box=None, title=title)
    for name, values in rows.items():
        table.add_row(name, *("" if value is None else f"{value:.3f}" for value in values.values()))
    return table


def _without(row: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in row.items() if key != name}
