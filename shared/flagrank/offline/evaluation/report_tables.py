"""The report's tables in HTML: what stands in the terminal stands here too."""

import html
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

METRIC = "ndcg@10"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table that scrolls by itself where it is wider than the page."""
    lines = [f"<tr>{''.join(f'<th scope="col">{html.escape(cell)}</th>' for cell in head)}</tr>"]
    for first, *rest in rows:
        cells = "".join(f"<td>{html.escape(cell)}</td>" for cell in rest)
        lines.append(f'<tr><th scope="row">{html.escape(first)}</th>{cells}</tr>')
    return f'<div class="wide" tabindex="0"><table>{"".join(lines)}</table></div>'


def interval(change: Mapping[str, Any]) -> str:
    """A mean and its 95 % confidence interval."""
    low, high = change["ci95"]
    return f"{change['mean']:+.4f} [{low:+.4f}, {high:+.4f}]"


def beside_figures(document: Mapping[str, Any]) -> Iterator[str]:
    """The tables of what the page otherwise shows as figures alone."""
    groups = document["gain_by_activity"]
    rows = [
        ["{} to {}".format(*group["interactions"]), str(group["users"]), interval(group[METRIC])] for group in groups
    ]
    yield _titled("Stage 2's gain by activity", ["interactions", "users", "NDCG@10"], rows)
    if ablation := document.get("ablation"):
        rows = [[group, interval(change[METRIC])] for group, change in ablation.items()]
        yield _titled("Without a group of features", ["left out", "NDCG@10"], rows)
    for name, effect in document.get("llm", {}).items():
        rows = [[alpha, interval(change[METRIC])] for alpha, change in effect["alpha"].items()]
        yield _titled(f"Without a query, LLM simulated by {name}", ["alpha", "change in NDCG@10"], rows)
    if found := document.get("fold_in"):
        yield _fold_in(found)
    for space, prices in document.get("diversity", {}).items():
        names = [name for name in prices[0] if name != "mmr_lambda"]
        rows = [[f"{price['mmr_lambda']:g}", *(_number(price[name]) for name in names)] for price in prices]
        yield _titled(f"What diversity of {space} costs", ["MMR's lambda", *names], rows)


def example(found: Mapping[str, Any]) -> str:
    """A user's two lists side by side, with the items that the user went on to choose marked."""
    known = ", ".join(map(str, found["known"]))
    title = f"<h3>User {html.escape(str(found['user_id']))}, {found['interactions']} interactions</h3>"
    pairs = zip(found["before"], found["after"], strict=False)
    rows = [[str(rank), _marked(before), _marked(after)] for rank, (before, after) in enumerate(pairs, 1)]
    lists = table(["", "before: Stage 1", "after: Stage 2"], rows)
    return f"{title}<p>Last known: {html.escape(known)}.</p>{lists}"


def _fold_in(found: Mapping[str, Any]) -> str:
    stages = {name: rows for name, rows in found[METRIC].items() if name != "popularity"}
    counts = list(next(iter(stages.values())))
    rows = [["popularity", *[f"{found[METRIC]['popularity']['mean']:.3f}"] * len(counts)]]
    rows += [[name, *(f"{changes[count]['mean']:.3f}" for count in counts)] for name, changes in stages.items()]
    return _titled("New users: NDCG@10 by known interactions", ["", *map(str, counts)], rows)


def _titled(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return f"<h3>{html.escape(title)}</h3>{table(head, rows)}"


def _marked(entry: Mapping[str, Any]) -> str:
    return f"{entry['title']} ✓" if entry["hit"] else str(entry["title"])


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
