"""What each group of features is worth: Stage 2 fitted again without it."""

from dataclasses import replace
from typing import Any

from flagrank.model.features import GROUPS
from flagrank.offline.evaluation import replay
from flagrank.offline.evaluation.stage_report import Trained, difference, intervals
from flagrank.offline.training.examples import joined
from flagrank.offline.training.progress import Progress, silent
from flagrank.offline.training.two_stage import TIMED_GROUPS, fit

# enough to compare; each group is a fit of its own, which takes as long as training
FOLDS = 3


def ablation(trained: Trained, progress: Progress) -> dict[str, Any]:
    """The change in each metric when a group is left out, with intervals; `time` leaves out both groups of times.

    Compared with all groups on the same, fewer folds than training used.
    """
    plan = trained.plan
    names = plan.features(trained.dataset, embedded=trained.embeddings is not None)
    groups: dict[str, tuple[str, ...]] = {
        group: (group,) for group, members in GROUPS.items() if set(members) & set(names)
    }
    if all(group in groups for group in TIMED_GROUPS):
        groups["time"] = TIMED_GROUPS
    found = joined(trained.examples[:FOLDS])
    quality = {}
    for number, (group, left_out) in enumerate({"": (), **groups}.items()):
        progress("leaving features out", number, len(groups))
        fewer = replace(plan, without=left_out)
        kept = fewer.features(trained.dataset, embedded=trained.embeddings is not None)
        factors = replace(trained.factors, stage2=fit(found.columns(kept), fewer, silent))
        lists = replay.item_ids(replay.answers(replay.baseline(factors), trained.users.ids))
        quality[group] = trained.users.quality(lists)
    return {group: intervals(difference(quality[group], quality[""])) for group in groups}
