"""What a warm-up does and says, step by step; its findings are also a document for programs."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from flagrank.cli.output import stdout

if TYPE_CHECKING:
    from flagrank.warming.batches import Batches, Ingested
    from flagrank.warming.missing import Estimate
    from flagrank.warming.run import WarmReport
    from flagrank.warming.wanted import Wanted
    from flagrank.warming.warmup import Left, Warmup

# a step by its name; then how many are done, and how many there are
type Step = Callable[[str], Callable[[int, int], None]]


@dataclass(slots=True)
class WarmRun:
    """One call of the command, which prints nothing itself if it is `quiet`.

    `complete` says whether everything that was wanted is judged, or waits for a batch.
    """

    warmup: "Warmup"
    batches: "Batches"
    step: Step
    poll_s: float
    quiet: bool
    document: dict[str, Any] = field(default_factory=dict)
    complete: bool = True

    def plan(self, wanted: "Wanted", by_batch: bool) -> "Left":
        """Finds what is left to judge, and says what it takes."""
        from flagrank.rerank.pricing import BATCH_PRICE

        left = self.warmup.left(wanted, self.step("cached scores"))
        share = BATCH_PRICE if by_batch else 1.0
        flag = self.warmup.document
        texts = sum(map(len, wanted.texts.values()))
        found = self.document.setdefault("wanted", {})
        found |= {"intents": len(wanted.texts), "texts": texts}
        found["left_out"] = {str(reason): count for reason, count in wanted.left_out.items()}
        self.document["left"] = _estimate_document(left.estimate, share)
        self.document["cap"] = {"usd": flag.daily_usd_cap, "spent_usd": left.spent_micro_usd / 1e6}
        self.document |= {"factors": self.warmup.factors.version, "model_id": flag.model_id}
        self._say(_wanted_lines(found))
        self._say(_left_lines(left.estimate, share))
        self._say([f"spent today ${left.spent_micro_usd / 1e6:.4f} of ${flag.daily_usd_cap:g}"])
        return left

    def judge(self, left: "Left") -> None:
        """Judges what is left, and says what became of it."""
        started_s = time.monotonic()
        report = self.warmup.judge(left, self.step("judging"))
        took_s = time.monotonic() - started_s
        self.complete &= not report.missing and report.stopped_by is None
        self.document["judged"] = _report_document(report, len(left.pieces), took_s)
        self._say(_report_lines(report, len(left.pieces), took_s))

    def batch(self, left: "Left", wait: bool) -> None:
        """Begins a batch for what is left, and waits for its answers if it is told to."""
        self._finish(self.batches.begin(left), wait)

    def finish_open(self, job: str | None, wait: bool) -> None:
        """Finishes the batches that are open, or that of one job alone."""
        service = self.batches.service
        for name in service.open_batches() if job is None else [service.name_of(job)]:
            self._finish(name, wait)

    def _finish(self, name: str, wait: bool) -> None:
        from flagrank.rerank.batch_inference import JobState

        job, tell = self.batches.job(name), self.step(f"batch {name}")
        self._say([f"batch {name}: {job}", "`flagrank warm --batch` comes back to it if this ends before"])
        while (status := self.batches.status(name)).state is JobState.RUNNING:
            if not wait:
                self.document.setdefault("running", []).append({"batch": name, "job": job, "status": status.detail})
                self._say([f"it is {status.detail}: `flagrank warm --batch --resume {job}` waits for it and reads it"])
                return
            if status.total:
                tell(status.processed, status.total)
            time.sleep(self.poll_s)
        ingested = self.batches.ingest(name, self.step(f"scores of {name}"))
        self.complete &= ingested.is_complete
        self.document.setdefault("ingested", []).append(ingested.document())
        self._say(_ingested_lines(ingested))

    def _say(self, lines: Iterable[str]) -> None:
        for line in () if self.quiet else lines:
            stdout.print(line, markup=False)


def _counted(counts: Mapping[Any, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items())


def _wanted_lines(wanted: Mapping[str, Any]) -> list[str]:
    lines = [f"{wanted['intents']} intents with {wanted['texts']} texts are wanted"]
    if wanted["left_out"]:
        lines.append(f"left out, since nothing would be judged for them: {_counted(wanted['left_out'])}")
    if wanted.get("covered") is not None:
        lines.append(f"of the head of another user who asks one of these queries {wanted['covered']:.1%} are covered")
    return lines


def _left_lines(estimate: "Estimate", share: float) -> list[str]:
    if not estimate.calls:
        return ["nothing is left to judge"]
    return [
        f"left to judge: {estimate.texts} texts of {estimate.intents} intents in {estimate.calls} calls, at most "
        f"{estimate.input_tokens} + {estimate.output_tokens} tokens, ${share * estimate.cost_micro_usd / 1e6:.4f}"
    ]


def _estimate_document(estimate: "Estimate", share: float) -> dict[str, Any]:
    return {
        "intents": estimate.intents,
        "texts": estimate.texts,
        "calls": estimate.calls,
        "input_tokens_at_most": estimate.input_tokens,
        "output_tokens_at_most": estimate.output_tokens,
        "usd_at_most": share * estimate.cost_micro_usd / 1e6,
    }


def _report_document(report: "WarmReport", tasks: int, took_s: float) -> dict[str, Any]:
    usage = report.usage
    return {
        "tasks": tasks,
        "tasks_begun": len(report.latest),
        "texts_written": report.written,
        "texts_known": report.known,
        "texts_missing": report.missing,
        "troubles": dict(report.troubles),
        "stopped_by": str(report.stopped_by) if report.stopped_by else None,
        "llm_calls": usage.llm_calls,
        "retries": usage.retries,
        "throttled": usage.throttled,
        "timeouts": usage.timeouts,
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "usd": usage.cost_micro_usd / 1e6,
        "seconds": round(took_s, 2),
    }


def _report_lines(report: "WarmReport", tasks: int, took_s: float) -> list[str]:
    usage = report.usage
    lines = [
        f"judged {report.written} texts in {took_s:.1f} s: {usage.llm_calls} calls, "
        f"{usage.input_tokens} + {usage.output_tokens} tokens, ${usage.cost_micro_usd / 1e6:.4f}"
    ]
    if report.troubles:
        lines.append(f"not judged: {report.missing} texts, {_counted(report.troubles)}")
    if report.stopped_by is not None:
        lines.append(f"stopped after {len(report.latest)} of {tasks} tasks: {report.stopped_by}")
    if len(lines) > 1:
        lines.append("the same command again judges what is missing")
    return lines


def _ingested_lines(ingested: "Ingested") -> list[str]:
    answers, usage = ingested.answers, ingested.answers.usage
    lines = [
        f"{answers.answered} of {answers.records} calls are answered: {ingested.report.written} texts written, "
        f"{ingested.report.known} known, {usage.input_tokens} + {usage.output_tokens} tokens, "
        f"${usage.cost_micro_usd / 1e6:.4f}{'' if ingested.billed else ', counted before'}"
    ]
    failed: Counter[str] = Counter(answers.errors) + Counter(answers.malformed) + Counter(ingested.report.troubles)
    failed += Counter(unanswered=answers.unanswered)
    if failed:
        lines.append(f"not judged: {_counted(failed)}; the same command again asks about what is missing")
    return lines
