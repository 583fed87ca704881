"""``Results``: accuracies, gaps, lengths, and behaviors computed from the answers on disk; as JSON, Markdown, CSV.

No model is loaded.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from thinklab.behavior.behavior import Behavior, load_behavior
from thinklab.evaluation import paired_stats as eval_stats
from thinklab.evaluation import paper_table
from thinklab.evaluation.plan import Evaluation
from thinklab.experiment.run_judge import RunJudge, judge_for
from thinklab.probing.stats import Estimate, Rate
from thinklab.run.chunks import whole_chunks
from thinklab.run.folder import RunFolder

BINS = 4
"""Quarters of the answers by length."""


@dataclass(frozen=True)
class Filled:
    """The answers of one method to one benchmark: only those of complete runs, so that every question has the same number."""

    method: str
    benchmark: str
    task: str
    lines: tuple[Mapping[str, Any], ...]
    runs: int
    wanted_runs: int
    behaviors: Mapping[str, tuple[bool | None, ...]] = field(default_factory=dict)
    """By behavior, whether each line's whole text shows it; None: it takes a judge, and the judge gave no verdict."""

    def values(self, key: str) -> dict[str, list[float]]:
        """By question, the values of its answers, run by run."""
        groups: dict[str, list[float]] = {}
        for line in self.lines:
            groups.setdefault(line["example_id"], []).append(float(line[key]))
        return groups

    def shows(self, behavior: str) -> dict[str, list[float]]:
        groups: dict[str, list[float]] = {}
        for line, yes in zip(self.lines, self.behaviors[behavior], strict=True):
            if yes is not None:
                groups.setdefault(line["example_id"], []).append(float(yes))
        return groups

    @property
    def accuracy(self) -> Rate:
        return Rate.of_groups([[bool(v) for v in vs] for vs in self.values("correct").values()])

    @property
    def each_run(self) -> list[float]:
        return [float(np.mean([x["correct"] for x in self.lines if x["run"] == r])) for r in range(self.runs)]

    @property
    def mean_tokens(self) -> float:
        return float(np.mean([x["tokens"] for x in self.lines]))

    def rate(self, behavior: str) -> Rate:
        return Rate.of_groups([[bool(v) for v in vs] for vs in self.shows(behavior).values()])

    def curve(self) -> list[tuple[int, float, float]]:
        """(tokens, accuracy of truncated answers, mean tokens used by then), from short to long."""
        cuts = sorted(map(int, self.lines[0]["correct_at"])) if self.lines else []
        return [
            (
                c,
                float(np.mean([x["correct_at"][str(c)] for x in self.lines])),
                float(np.mean([min(c, x["tokens"]) for x in self.lines])),
            )
            for c in cuts
        ]

    def by_length(self) -> list[tuple[float, Rate]]:
        """(mean tokens, accuracy) of the answers in quarters by length; fewer if lengths coincide."""
        ordered = sorted(self.lines, key=lambda x: x["tokens"])
        parts = [part for part in np.array_split(np.arange(len(ordered)), BINS) if len(part)]
        return [
            (
                float(np.mean([ordered[k]["tokens"] for k in part])),
                Rate(sum(bool(ordered[k]["correct"]) for k in part), len(part)),
            )
            for part in parts
        ]


@dataclass(frozen=True)
class Gap:
    """A method against the reference on one benchmark, or on the average of all (``benchmark`` = ``average``)."""

    method: str
    benchmark: str
    gap: Estimate
    p: float | None
    """Paired permutation test; None for the average."""
    p_all: float | None = None
    """The same after Holm's correction over all comparisons of the table."""


@dataclass(frozen=True)
class Results:
    """The complete content of the page."""

    config: Evaluation
    cells: Mapping[tuple[str, str], Filled]
    missing: tuple[str, ...]
    """Cells without any complete run, as ``METHOD/BENCHMARK``."""
    questions: Mapping[str, Mapping[str, Any]]
    gaps: Mapping[tuple[str, str], Gap]
    behavior_hashes: Mapping[str, str]
    judge_says: str = ""
    """Problems with the judge's verdicts, and its cost."""
    judge_failed: str = ""
    """Why the judge failed permanently; empty while it works."""

    def of(self, method: str) -> list[Filled]:
        return [c for (m, _), c in self.cells.items() if m == method]

    def complete(self, method: str) -> bool:
        """True if the method has every benchmark, so that its average is meaningful."""
        return all((method, b) in self.cells for b in self.config.benchmarks)

    def average(self, method: str) -> Estimate | None:
        return eval_stats.average([c.values("correct") for c in self.of(method)]) if self.complete(method) else None

    def longer(self, method: str, benchmark: str) -> Estimate | None:
        """Tokens against the reference: 0.1 = 10 % more."""
        ours, theirs = self.cells.get((method, benchmark)), self.cells.get((self.config.compared_with, benchmark))
        return eval_stats.ratio(theirs.values("tokens"), ours.values("tokens")) if ours and theirs else None

    def behavior_average(self, method: str, behavior: str) -> Estimate | None:
        """None if the judge gave no verdict on any answer."""
        found = [shown for c in self.of(method) if (shown := c.shows(behavior))]
        return eval_stats.average(found) if found else None

    def behavior_gap(self, method: str, behavior: str) -> Estimate | None:
        """Rate against the reference, averaged over common benchmarks."""
        pairs = [
            (self.cells[self.config.compared_with, b].shows(behavior), self.cells[method, b].shows(behavior))
            for b in self.config.benchmarks
            if (method, b) in self.cells and (self.config.compared_with, b) in self.cells
        ]
        pairs = [(one, other) for one, other in pairs if one.keys() & other.keys()]
        return eval_stats.average_gap(pairs) if pairs else None

    @property
    def compared(self) -> list[str]:
        """The methods that can be compared with the reference on at least one benchmark."""
        return [m for m in self.config.methods if any(method == m for method, _ in self.gaps)]

    @property
    def not_run(self) -> str:
        """One line about the cells without a complete run, ``METHOD/*`` if a method has none; empty if all have one."""
        whole = [m for m in self.config.methods if not self.of(m)]
        named = [*(f"{m}/*" for m in whole), *(cell for cell in self.missing if cell.partition("/")[0] not in whole)]
        return f"Not run yet: {', '.join(named)}." if named else ""

    def row_of(self, method: str) -> str | None:
        return self.config.methods[method].row or paper_table.row_of(method)


def collect(config: Evaluation, out: Path) -> Results:
    """Read all finished answers; of cells in progress, only complete runs.

    A judge is called for answers without a verdict in ``judge.jsonl``, and not even loaded if all have one.

    Raises:
        ConfigError: if a behavior needs a judge and the file has none.
    """
    out = Path(out)
    questions = RunFolder(out).read_json("questions.json") or {}
    behaviors, judge = judged_behaviors(config)
    if judge is not None:
        judge.attach(RunFolder(out))
    cells, missing = {}, []
    for method, benchmark in config.cells():
        found = _filled(config, out, method, benchmark, len(questions.get(benchmark, {}).get("ids", ())), behaviors)
        if found is None:
            missing.append(f"{method}/{benchmark}")
        else:
            cells[method, benchmark] = found
    says = "" if judge is None else "\n".join(filter(None, [judge.complaint(), judge.summary() and f"judge: {judge.summary()}"]))
    return Results(
        config,
        cells,
        tuple(missing),
        questions,
        _gaps(config, cells),
        {b.name: b.hash for b in behaviors},
        says,
        judge.failed if judge is not None else "",
    )


def judged_behaviors(config: Evaluation) -> tuple[list[Behavior], RunJudge | None]:
    """The behaviors of the file, and the teacher for their judge detectors.

    Raises:
        ConfigError: if a behavior needs a judge and the file has none.
    """
    behaviors = [load_behavior(name) for name in config.behaviors]
    judge = judge_for(config.judge, behaviors)
    return [b.with_judge(judge) if b.needs_judge else b for b in behaviors], judge


def _filled(
    config: Evaluation, out: Path, method: str, benchmark: str, questions: int, behaviors: Sequence[Any]
) -> Filled | None:
    folder = out / method / benchmark
    if not questions or not RunFolder(folder).config_file.exists():
        return None
    by_run: dict[int, list[dict]] = {}
    for key, chunk in sorted(whole_chunks(RunFolder(folder), "answers", repair=False).items()):
        by_run.setdefault(int(key[0]), []).extend(chunk)
    whole = [by_run[r] for r in sorted(by_run) if len(by_run[r]) == questions and r < config.runs_of(benchmark)]
    if not whole:
        return None
    lines = tuple(line for run in whole for line in run)
    texts = ["\n\n".join(t["text"] for t in line["turns"]) for line in lines]
    shown = {b.name: tuple(b.shown(texts)) for b in behaviors}
    return Filled(method, benchmark, config.benchmarks[benchmark].task.name, lines, len(whole), config.runs_of(benchmark), shown)


def _gaps(config: Evaluation, cells: Mapping[tuple[str, str], Filled]) -> dict[tuple[str, str], Gap]:
    reference, gaps = config.compared_with, {}
    for (method, benchmark), cell in cells.items():
        if method == reference or (reference, benchmark) not in cells:
            continue
        one, other = cells[reference, benchmark].values("correct"), cell.values("correct")
        gaps[method, benchmark] = Gap(method, benchmark, eval_stats.average_gap([(one, other)]), eval_stats.sign_flip(one, other))
    adjusted = eval_stats.holm([g.p for g in gaps.values() if g.p is not None])
    gaps = {key: Gap(g.method, g.benchmark, g.gap, g.p, p) for (key, g), p in zip(gaps.items(), adjusted, strict=True)}
    for method in config.methods:
        pairs = [
            (cells[reference, b].values("correct"), cells[method, b].values("correct"))
            for b in config.benchmarks
            if (method, b) in cells and (reference, b) in cells
        ]
        if method != reference and len(pairs) == len(config.benchmarks):
            gaps[method, "average"] = Gap(method, "average", eval_stats.average_gap(pairs), None)
    return gaps


def to_json(results: Results) -> dict[str, Any]:
    """``results.json``: one record per cell and per comparison."""
    cells = []
    for (method, benchmark), c in results.cells.items():
        a, longer = c.accuracy, results.longer(method, benchmark)
        help_, questions = eval_stats.within_question(c.values("tokens"), c.values("correct"))
        cells.append(
            {
                "method": method,
                "benchmark": benchmark,
                "task": c.task,
                "runs": c.runs,
                "wanted_runs": c.wanted_runs,
                "questions": len(c.values("correct")),
                "answers": len(c.lines),
                "accuracy": a.value,
                "low": a.low,
                "high": a.high,
                "correct": a.count,
                "each_run": c.each_run,
                "paper": paper_table.shown(results.row_of(method), c.task),
                "mean_tokens": c.mean_tokens,
                "tokens_against_reference": longer.to_json() if longer else None,
                "sampled": sum(x["sampled"] for x in c.lines),
                "inserted": sum(x["inserted"] for x in c.lines),
                "dropped": sum(x["dropped"] for x in c.lines),
                "read": sum(x["read"] for x in c.lines),
                "finished": float(np.mean([x["finished"] for x in c.lines])),
                "out_of_room": sum(bool(x["out_of_room"]) for x in c.lines),
                "seconds": sum(x["seconds"] for x in c.lines),
                "right_less_wrong_tokens": help_.to_json() if help_ else None,
                "questions_with_both": questions,
                "curve": [{"cut": k, "accuracy": acc, "mean_tokens": used} for k, acc, used in c.curve()],
                "behaviors": {
                    b: {"count": r.count, "total": r.total, "value": r.value} for b in c.behaviors for r in (c.rate(b),)
                },
            }
        )
    gaps = [
        {"method": g.method, "benchmark": g.benchmark, **g.gap.to_json(), "p": g.p, "p_holm": g.p_all}
        for g in results.gaps.values()
    ]
    return {
        "name": results.config.name,
        "reference": results.config.compared_with,
        "cells": cells,
        "differences": gaps,
        "missing": list(results.missing),
        "behaviors": dict(results.behavior_hashes),
        "questions": {b: {k: v for k, v in q.items() if k != "spec"} for b, q in results.questions.items()},
    }


def markdown(results: Results) -> str:
    """The table, the differences and the lengths as text."""
    config = results.config
    names = list(config.benchmarks)
    lines = [f"| method | {' | '.join(names)} | average |", "| --- |" + " --- |" * (len(names) + 1)]
    for method in config.methods:
        row = [results.cells[method, b].accuracy.percent if (method, b) in results.cells else "not run" for b in names]
        mean = results.average(method)
        lines.append(
            f"| {method} | {' | '.join(row)} | "
            f"{f'{100 * mean.value:.1f} [{100 * mean.low:.1f}, {100 * mean.high:.1f}]' if mean else ''} |"
        )
    compared = results.compared
    lines += _section(
        f"Against {config.compared_with}, percentage points [95 %], p after Holm:",
        [*names, "average"],
        {m: [gap_text(results.gaps.get((m, b))) for b in (*names, "average")] for m in compared},
    )
    started = [m for m in config.methods if results.of(m)]
    lines += _section(
        "Tokens per answer:",
        names,
        {m: [f"{results.cells[m, b].mean_tokens:.0f}" if (m, b) in results.cells else "" for b in names] for m in started},
    )
    shown = list(results.behavior_hashes)
    means = {m: [results.behavior_average(m, b) for b in shown] for m in started if shown}
    lines += _section(
        "Behaviors, % of answers (mean over benchmarks):",
        shown,
        {m: ["no verdict" if mean is None else f"{100 * mean.value:.2f}" for mean in row] for m, row in means.items()},
    )
    if results.judge_says:
        lines += ["", results.judge_says]
    if results.missing:
        lines += ["", results.not_run]
    return "\n".join(lines) + "\n"


def _section(title: str, columns: Sequence[str], rows: Mapping[str, Sequence[str]]) -> list[str]:
    """Lines of a table with one row per method; none without rows."""
    if not rows:
        return []
    return [
        "",
        title,
        "",
        f"| method | {' | '.join(columns)} |",
        "| --- |" + " --- |" * len(columns),
        *(f"| {method} | {' | '.join(row)} |" for method, row in rows.items()),
    ]


def gap_text(gap: Gap | None) -> str:
    """``+2.5 [+0.1, +5.0], p .031``"""
    if gap is None:
        return ""
    g = gap.gap
    text = f"{100 * g.value:+.1f} [{100 * g.low:+.1f}, {100 * g.high:+.1f}]"
    return text if gap.p_all is None else f"{text}, p {p_text(gap.p_all)}"


def p_text(p: float) -> str:
    return "< .001" if p < 0.001 else f"{p:.3f}".removeprefix("0")


def as_csv(results: Results) -> str:
    """One line per cell."""
    out = io.StringIO()
    cells = to_json(results)["cells"]
    nested = ("curve", "behaviors", "each_run", "tokens_against_reference", "right_less_wrong_tokens")
    keys = [k for k in cells[0] if k not in nested] if cells else []
    writer = csv.DictWriter(
        out, [*keys, *(f"shows {b}" for b in results.behavior_hashes)], extrasaction="ignore", lineterminator="\n"
    )
    writer.writeheader()
    for cell in cells:
        writer.writerow({**cell, **{f"shows {b}": r["value"] for b, r in cell["behaviors"].items()}})
    return out.getvalue()
