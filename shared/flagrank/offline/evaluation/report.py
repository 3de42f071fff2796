"""The evaluation as one self-contained HTML page: plots are inline SVG, made by matplotlib, from the JSON report."""

import html
import io
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from flagrank.offline.evaluation.report_sentences import sentences
from flagrank.offline.evaluation.report_tables import beside_figures, example, interval, table

STYLE = """
:root { color-scheme: light dark; --line: #8885; --soft: #8881; --quiet: #5b6875; --page: #fff; --text: #1c2733 }
@media (prefers-color-scheme: dark) { :root { --quiet: #a3adb8; --page: #14191f; --text: #e4e8ec } }
body { font: 16px/1.55 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem;
  color: var(--text); background: var(--page); overflow-wrap: break-word }
table { border-collapse: collapse; margin: .5rem 0; font-variant-numeric: tabular-nums }
th, td { padding: .25rem .75rem; text-align: right; border-bottom: 1px solid var(--line); font-weight: normal }
th[scope=col] { font-weight: 600 }
th:first-child, td:first-child { text-align: left }
dt { font-weight: 600; margin-top: .75rem } dd { margin: 0 0 .5rem }
.wide { overflow-x: auto; margin: 1rem 0 } .facts { color: var(--quiet) } .lists th, .lists td { text-align: left }
details { margin: 1rem 0 } summary { cursor: pointer; font-weight: 600 }
pre { background: var(--soft); padding: .75rem; overflow-x: auto }
figure { margin: 1.5rem 0 } figcaption { color: var(--quiet) }
/* the plots are drawn on white */
svg { max-width: 100%; height: auto; background: #fff }
"""
TABLES = ("oracle", "beyond_accuracy", "new_items", "random_split", "queries")
COLOURS = {"popularity": "#9aa5b1", "stage1": "#2f6fb5", "stage2": "#c2571a"}


def page(document: Mapping[str, Any]) -> str:
    """The report of `evaluate` as HTML; a part that was left out of the report is left out of the page."""
    figures: list[tuple[str, Callable[[Axes, Any], None], Any]] = [
        ("NDCG by cut-off, with 95 % intervals", _curve, document["curve"]),
        ("Stage 2's gain in NDCG@10 by user activity", _activity, document["gain_by_activity"]),
        ("Change in NDCG@10 without a group of features", _ablation, document.get("ablation")),
    ]
    for name, effect in document.get("llm", {}).items():
        figures.append((f"Change in NDCG@10 by alpha, LLM simulated by {name}", _alpha, effect["alpha"]))
        figures.append((f"Calibration of the relevance by {name}", _calibration, effect["calibration"]))
    for space, rows in document.get("diversity", {}).items():
        figures.append((f"What diversity of {space} costs (maximal marginal relevance)", _diversity, rows))
    figures.append(("New users: NDCG@10 by known interactions", _fold_in, document.get("fold_in")))
    for name, gate in document.get("gate", {}).items():
        figures.append((f"What gates save and keep, LLM simulated by {name}; the chosen one marked", _gate, gate))
    parts = [_conclusion(document), _quality(document), *_examples(document)]
    parts += ["<h2>Figures</h2>", *(_figure(caption, draw, values) for caption, draw, values in figures if values)]
    parts += ["<h2>Tables</h2>", *beside_figures(document)]
    parts += [_values(name, document[name]) for name in TABLES if document.get(name)]
    parts += [_blend(name, blend) for name, blend in document.get("blend", {}).items()]
    if kinds := document.get("catalogue_queries"):
        parts.append(_catalogue_queries(kinds))
    for part in ("llm", "gate", "student"):
        parts += [
            _values(f"{part}, LLM simulated by {name}", _rates(of)) for name, of in document.get(part, {}).items()
        ]
    title = html.escape(f"Flagrank on {document['dataset']}, {document['users']} users")
    view = '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
    head = f"{view}<title>{title}</title><style>{STYLE}</style>"
    body = f"<h1>{title}</h1>{''.join(parts)}"
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{body}</body></html>\n'


def _conclusion(document: Mapping[str, Any]) -> str:
    answers = "".join(f"<dt>{html.escape(q)}</dt><dd>{html.escape(a)}</dd>" for q, a in sentences(document))
    made = document.get("made", {})
    facts = [f"{name} {value}" for name, value in made.items()]
    facts += [f"data {document['dataset']}", f"{document['users']} test users"]
    parameters = html.escape(json.dumps(document["parameters"], indent=2))
    shown = f"<details><summary>Parameters</summary><pre>{parameters}</pre></details>"
    return f'<dl>{answers}</dl><p class="facts">{html.escape("; ".join(facts))}.</p>{shown}'


def _examples(document: Mapping[str, Any]) -> list[str]:
    if not document.get("examples"):
        return []
    note = "<p>✓ marks what the user went on to choose, which training did not see.</p>"
    lists = "".join(example(found) for found in document["examples"])
    return [f'<h2>Lists before and after</h2>{note}<div class="lists">{lists}</div>']


def _quality(document: Mapping[str, Any]) -> str:
    metrics = list(document["stage1"])
    rows = [[name, *(f"{document[name][metric]:.4f}" for metric in metrics)] for name in COLOURS]
    rows.append(["stage2 - stage1", *(interval(document["delta"][metric]) for metric in metrics)])
    return "<h2>Quality</h2>" + table(["", *metrics], rows)


def _values(name: str, values: Mapping[str, Any]) -> str:
    rows = [[path, value] for path, value in _leaves(values)]
    return f"<h2>{html.escape(name.replace('_', ' '))}</h2>" + table(["", ""], rows)


def _blend(name: str, blend: Mapping[str, Any]) -> str:
    head = ["", "chosen", "change over the baseline alone", "of the kind that gains least", "evidence"]
    rows = []
    for alpha, found in blend.items():
        kind, least = min(found["kinds"].items(), key=lambda item: item[1]["ci95"][0])
        change = found["tried"][f"{found['chosen']:g}"]
        rows.append([alpha, f"{found['chosen']:g}", interval(change), f"{kind}: {interval(least)}", found["evidence"]])
    return f"<h2>weights of the baseline, LLM simulated by {html.escape(name)}</h2>" + table(head, rows)


def _catalogue_queries(kinds: Mapping[str, Any]) -> str:
    """A row for each kind: recall by source, hits and NDCG by recommender, and the change in NDCG."""
    first = next(iter(kinds.values()))
    metrics = [metric for metric in first if "@" in metric]
    head = ["kind", "queries", *(f"recall, {source}" for source in first["recall"])]
    head += [f"{metric}, {name}" for metric in metrics for name in first[metric]]
    head += [f"{metrics[-1]}, {name} - baseline" for name in first["delta"]]
    rows = [
        [
            kind.replace("_", " "),
            str(found["queries"]),
            *(f"{share:.3f}" for share in found["recall"].values()),
            *(f"{value:.3f}" for metric in metrics for value in found[metric].values()),
            *(interval(change[metrics[-1]]) for change in found["delta"].values()),
        ]
        for kind, found in kinds.items()
    ]
    return "<h2>queries from the whole catalogue</h2>" + table(head, rows)


def _rates(values: Mapping[str, Any]) -> Mapping[str, Any]:
    # what has a plot of its own is not shown again
    return {name: value for name, value in values.items() if name not in ("alpha", "calibration", "curve")}


def _leaves(values: Mapping[str, Any], path: str = "") -> list[tuple[str, str]]:
    leaves = []
    for name, value in values.items():
        if isinstance(value, Mapping) and "ci95" in value:
            leaves.append((f"{path}{name}", interval(value)))
        elif isinstance(value, Mapping):
            leaves += _leaves(value, f"{path}{name}, ")
        else:
            leaves.append((f"{path}{name}", str(value)))
    return leaves


def _figure(caption: str, draw: Callable[[Axes, Any], None], values: Any) -> str:
    # a fixed salt and no date: the same report gives the same page
    with mpl.rc_context({"svg.hashsalt": "flagrank", "svg.fonttype": "none", "axes.grid": True, "grid.alpha": 0.3}):
        figure = Figure(figsize=(7.5, 3.6), layout="constrained")
        axes = figure.subplots()
        draw(axes, values)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    svg = buffer.getvalue()
    return f"<figure>{svg[svg.index('<svg') :]}<figcaption>{html.escape(caption)}</figcaption></figure>"


def _bars(axes: Axes, places: list[Any], changes: list[Mapping[str, Any]], **style: Any) -> None:
    means = [change["mean"] for change in changes]
    below = [mean - change["ci95"][0] for mean, change in zip(means, changes, strict=True)]
    above = [change["ci95"][1] - mean for mean, change in zip(means, changes, strict=True)]
    axes.errorbar(places, means, yerr=[below, above], marker="o", capsize=3, **style)


def _curve(axes: Axes, curves: Mapping[str, Any]) -> None:
    for name, values in curves.items():
        at = {int(metric.partition("@")[2]): change for metric, change in values.items() if metric.startswith("ndcg")}
        _bars(axes, list(at), list(at.values()), label=name, color=COLOURS[name])
    axes.set(xscale="log", xlabel="K", ylabel="NDCG@K")
    axes.set_xticks(list(at), [str(k) for k in at])
    axes.legend()


def _activity(axes: Axes, groups: Sequence[Mapping[str, Any]]) -> None:
    places = list(range(len(groups)))
    _bars(axes, places, [group["ndcg@10"] for group in groups], linestyle="none", color=COLOURS["stage2"])
    axes.set_xticks(places, ["{}-{}".format(*group["interactions"]) for group in groups])
    axes.axhline(0, color="black", linewidth=0.8)
    axes.set(xlabel="interactions in training", ylabel="gain")


def _ablation(axes: Axes, groups: Mapping[str, Any]) -> None:
    changes = {group: values["ndcg@10"] for group, values in groups.items()}
    _bars(axes, list(changes), list(changes.values()), linestyle="none", color=COLOURS["stage2"])
    axes.axhline(0, color="black", linewidth=0.8)
    axes.set(xlabel="left out", ylabel="change")


def _alpha(axes: Axes, alphas: Mapping[str, Any]) -> None:
    changes = {float(alpha): values["ndcg@10"] for alpha, values in alphas.items()}
    _bars(axes, list(changes), list(changes.values()), color=COLOURS["stage2"])
    axes.axhline(0, color="black", linewidth=0.8)
    axes.set(xlabel="alpha, the baseline's weight", ylabel="change")


def _calibration(axes: Axes, rows: Sequence[Mapping[str, Any]]) -> None:
    bins = [entry for entry in rows if entry["chosen"] is not None]
    axes.bar(["{}-{}".format(*entry["relevance"]) for entry in bins], [entry["chosen"] for entry in bins])
    axes.set(xlabel="relevance", ylabel="share that users chose")


def _diversity(axes: Axes, rows: Sequence[Mapping[str, Any]]) -> None:
    axes.plot([row["diversity@10"] for row in rows], [row["ndcg@10"] for row in rows], "o-", color=COLOURS["stage2"])
    for row in rows:
        axes.annotate(f"λ {row['mmr_lambda']:g}", (row["diversity@10"], row["ndcg@10"]))
    axes.set(xlabel="intra-list diversity@10", ylabel="NDCG@10")


def _fold_in(axes: Axes, found: Mapping[str, Any]) -> None:
    rows = dict(found["ndcg@10"])
    popularity = rows.pop("popularity")["mean"]
    axes.axhline(popularity, color=COLOURS["popularity"], label="popularity")
    for name, changes in rows.items():
        _bars(axes, list(changes), list(changes.values()), label=name, color=COLOURS[name])
    axes.set(xlabel="known interactions", ylabel="NDCG@10")
    axes.legend()


def _gate(axes: Axes, gate: Mapping[str, Any]) -> None:
    for rows, style in ((gate["curve"], "o"), ([gate], "X")):
        shown = [row for row in rows if row["gain_kept"] is not None]
        saved, kept = [row["calls_saved"] for row in shown], [row["gain_kept"] for row in shown]
        axes.plot(saved, kept, style, color=COLOURS["stage2" if style == "X" else "stage1"], markersize=6)
    axes.set(xlabel="share of calls saved", ylabel="share of gain kept")
