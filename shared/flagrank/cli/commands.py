"""Every command: where it is, and the first line of its help, which a test holds to the command's own."""

from flagrank.cli.lazy import Place

TOP = {
    "train": Place(
        "flagrank.cli.train",
        "train",
        "Train both stages and write them as an artifact set, ready for `flagrank publish`.",
    ),
    "publish": Place(
        "flagrank.cli.publish",
        "publish",
        "Upload an artifact set and put it into force: objects first, the pointer last, and only if nobody moved it.",
    ),
    "distill": Place(
        "flagrank.cli.distill",
        "distill",
        "Distil an LLM's judgements into a student that reranks at the baseline's speed, and publish it with its set.",
    ),
    "evaluate": Place(
        "flagrank.cli.evaluate",
        "evaluate",
        "Train on the base, evaluate on what was held out, through the serving code; nothing is tuned on the test.",
    ),
    "local": Place(
        "flagrank.cli.local",
        "local",
        "Train (or take an artifact folder as --data), start the local cloud, publish, and serve the API.",
    ),
    "warm": Place(
        "flagrank.cli.warm",
        "warm",
        "Judge profile intents and known queries before anybody asks, so that the first request is a cache hit.",
    ),
    "bench": Place(
        "flagrank.cli.bench",
        "bench",
        "How fast Flagrank is, beside its peers in the same run: medians, 99th percentiles and ratios.",
    ),
    "cost": Place(
        "flagrank.cli.cost",
        "cost",
        "What steady traffic costs by service, for each thousand requests and in a month of 730 hours.",
    ),
    "console": Place(
        "flagrank.cli.console",
        "console",
        "Serve a page that shows the ramp, both arms, each limit and the history, and changes the flag, until Ctrl-C.",
    ),
    "demo": Place("flagrank.cli.demo", "app", "See what Flagrank promises, without an account."),
    "factors": Place("flagrank.cli.factors", "app", "List published factors, and put a version into force."),
}

ROLLOUT = {
    "status": Place(
        "flagrank.cli.rollout",
        "status",
        "Show what is deployed and in flight, the last minutes of both arms, and how long a change takes at most.",
    ),
    "init": Place(
        "flagrank.cli.rollout", "init", "Deploy the first flag document of a new stack; refused if there is one."
    ),
    "percent": Place(
        "flagrank.cli.rollout",
        "percent",
        "Set the percentage of treated users; everything else in the document stays.",
    ),
    "on": Place("flagrank.cli.rollout", "on", "Switch the reranker on for the percentage that is set."),
    "off": Place(
        "flagrank.cli.rollout",
        "off",
        "The kill switch: give everyone the baseline, whatever else is in flight, and whichever alarm fires.",
    ),
    "rollback": Place(
        "flagrank.cli.rollout",
        "rollback",
        "Go back to the last version that nobody rolled back from, whatever else is in flight; exposure never rises.",
    ),
    "history": Place(
        "flagrank.cli.rollout", "history", "Show who changed the flag, when, what and why; the newest first."
    ),
    "diff": Place("flagrank.cli.rollout", "diff", "Show in which fields two versions of the document differ."),
    "ramp": Place(
        "flagrank.cli.ramp",
        "ramp",
        "Raise the percentage step by step, and judge each step before the next; switch off at the first that fails.",
    ),
    "watch": Place(
        "flagrank.cli.ramp",
        "watch",
        "Show both arms and the verdicts on what is in force, live; with --json, once.",
    ),
}
