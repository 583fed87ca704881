"""``StudyRow``: finished runs of a study, arms averaged over seeds, against the control; Markdown and CSV."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from thinklab.config.experiment import Experiment
from thinklab.probing.result import ProbeResult
from thinklab.probing.stats import Estimate, Rate, mean_interval
from thinklab.run.folder import RunFolder
from thinklab.run.usage import supervised_usage
from thinklab.studies.study import Cell, Study


@dataclass(frozen=True)
class StudyRow:
    """One finished run."""

    cell: Cell
    before: dict[str, ProbeResult]
    after: dict[str, ProbeResult]
    steps: int
    seconds: float
    """Training time without probes and without sampling texts to imitate, on that machine under its load."""
    guided: int
    """Guided rollouts and texts in the whole run."""
    kl: float | None = None
    """KL to the base on neutral text, in nats per token, at its last measurement in training; None if no guard measured it."""
    alarm: str | None = ""
    """The first sign of collapse and its step, according to the guards; empty if there was none, None if no guard was active."""
    generations: int = 0
    """Generations with measured unguided rollouts."""
    onset: int | None = None
    """The first generation, counted from 0, in which at least half of the unguided rollouts show the behavior; None: never."""
    largest_gradient: float | None = None
    """Largest gradient norm of an optimizer step, before clipping."""
    tokens: float | None = None
    """Tokens trained on, prompts and answers, as TRL counts them."""
    any_shown: Mapping[tuple[str, str], Rate] = field(default_factory=dict)
    """(stage, decoding) -> answers that show at least one behavior, in a run that has several."""

    def behavior(self, stage: str, decoding: str) -> Rate:
        """The behavior's rate; for a mixture, the rate of any of them. ``mixtures`` has each one separately."""
        rates = getattr(self, stage)[decoding].behaviors
        return self.any_shown.get((stage, decoding)) or next(iter(rates.values()), Rate(0, 0))


def finished_rows(cells: Sequence[Cell]) -> list[StudyRow]:
    rows = []
    for cell in cells:
        if cell.state() != "finished":
            continue
        run = RunFolder(cell.folder)
        found = run.read_json("probe.json")
        stages = {s: {d: ProbeResult.from_json(r) for d, r in found.get(s, {}).items()} for s in ("before", "after")}
        metrics, config = list(run.read("metrics")), cell.config()
        primed = list(RunFolder(run.path / RunFolder.PRIME).read("metrics"))
        kls = [m["neutral_kl"] for m in metrics if m.get("neutral_kl") is not None]
        alarms = [f"{a['sign']} at {a['step']}" for a in run.read("alarms") if a["kind"] == "collapse"]
        watched = config.baseline is None and config.guards.action != "off"
        rows.append(
            StudyRow(
                cell,
                stages["before"],
                stages["after"],
                found.get("steps", 0),
                sum(lines[-1]["seconds"] for lines in (primed, metrics) if lines),
                _guided(run, metrics, config),
                kls[-1] if kls else None,
                (alarms[0] if alarms else "") if watched else None,
                len(own := [m["own/behavior"] for m in metrics if m.get("own/behavior") is not None]),
                onset(own),
                max((m["grad_norm"] for m in metrics if m.get("grad_norm") is not None), default=None),
                next((m["num_tokens"] for m in reversed(metrics) if m.get("num_tokens") is not None), None),
                _any_shown(run) if len(config.behaviors) > 1 else {},
            )
        )
    return rows


def onset(rates: Sequence[float]) -> int | None:
    """The first place at which a rate of unguided rollouts reaches one half; None if it never does."""
    return next((k for k, rate in enumerate(rates) if rate >= 0.5), None)


def _guided(run: RunFolder, metrics: Sequence[Mapping[str, Any]], config: Experiment) -> int:
    """Pieces of guidance that were used."""
    if config.baseline is not None:  # trained on texts that were prepared beforehand
        return _texts(run)
    rollouts = sum(m.get("guided_fraction", 0.0) for m in metrics) * config.train.questions * config.train.samples
    return round(rollouts) + _texts(RunFolder(run.path / RunFolder.PRIME))


def _texts(run: RunFolder) -> int:
    """Imitated texts with a comment of the teacher."""
    return int((supervised_usage(run) or {}).get("teacher_texts", 0))


def _any_shown(run: RunFolder) -> dict[tuple[str, str], Rate]:
    groups: dict[tuple[str, str], dict[str, list[bool]]] = {}
    for s in run.read("probe_samples"):
        place = groups.setdefault((s["stage"], s["decoding"]), {})
        place.setdefault(s["example_id"], []).append(any(s["behaviors"].values()))
    return {key: Rate.of_groups(list(found.values())) for key, found in groups.items()}


MEASURES = {
    "accuracy T=1": lambda r: r.after["T=1"].accuracy.value,
    "accuracy greedy": lambda r: r.after["greedy"].accuracy.value,
    "behavior T=1": lambda r: r.behavior("after", "T=1").value,
    "behavior greedy": lambda r: r.behavior("after", "greedy").value,
    "first answer T=1": lambda r: r.after["T=1"].first_accuracy.value,
    "tokens T=1": lambda r: r.after["T=1"].mean_tokens,
}


def by_arm(rows: Sequence[StudyRow]) -> dict[tuple[str, str], list[StudyRow]]:
    """(base, arm) -> its finished runs, in the order of the study."""
    groups: dict[tuple[str, str], list[StudyRow]] = {}
    for row in rows:
        groups.setdefault((row.cell.base, row.cell.arm), []).append(row)
    order = {key: k for k, key in enumerate(dict.fromkeys((r.cell.base, r.cell.arm) for r in rows))}
    return dict(sorted(groups.items(), key=lambda item: order[item[0]]))


def against_control(study: Study, rows: Sequence[StudyRow], base: str, arm: str, measure: str) -> Estimate | None:
    """Mean difference to the control over common seeds; None for the control itself or without common seeds."""
    if study.control is None or arm == study.control:
        return None
    value = {(r.cell.arm, r.cell.seed): MEASURES[measure](r) for r in rows if r.cell.base == base}
    gaps = [v - value[study.control, seed] for (a, seed), v in value.items() if a == arm and (study.control, seed) in value]
    return mean_interval(gaps) if gaps else None


def span(values: Sequence[float], digits: int = 2) -> str:
    """``.98 (.97 to .99)``: the mean and the range over seeds; empty without any."""

    def show(x: float) -> str:
        return f"{x:.{digits}f}".replace("0.", ".", 1) if digits == 2 and 0 <= x < 1 else f"{x:.{digits}f}"

    if not values:
        return ""
    mean = show(sum(values) / len(values))
    return mean if len(values) == 1 else f"{mean} ({show(min(values))} to {show(max(values))})"


def before_line(rows: Sequence[StudyRow], base: str) -> list[str]:
    """The student before training; the same weights in every arm that starts from the same student."""
    at = next(r for r in rows if r.cell.base == base)
    b = at.before
    if not b:
        return []
    return [
        "before training" + ("" if len({r.cell.config().student.path for r in rows}) == 1 else f" ({at.cell.arm})"),
        "",
        f"{b['T=1'].accuracy.value:.2f} / {b['greedy'].accuracy.value:.2f}",
        "",
        f"{at.behavior('before', 'T=1').value:.2f} / {at.behavior('before', 'greedy').value:.2f}",
        "",
        f"{b['T=1'].mean_tokens:.0f}",
        *[""] * 7,
    ]


HEAD = [
    "arm",
    "seeds",
    "accuracy T=1 / greedy, mean",
    "accuracy T=1, each seed",
    "behavior T=1 / greedy, mean",
    "behavior T=1, each seed",
    "tokens",
    "accuracy T=1 against control",
    "guided rollouts",
    "training tokens, thousands, mean",
    "onset: first generation in which half of the unguided answers show it, each seed",
    "largest gradient norm, each seed",
    "KL on neutral text",
    "runs with an alarm of collapse",
]


def markdown(study: Study, rows: Sequence[StudyRow]) -> str:
    """The table as Markdown, one per base; rates as fractions, differences in percentage points."""
    parts = []
    for measure in ("accuracy T=1", "behavior T=1"):
        head, found = across(study, rows, measure)
        if found:
            lines = [f"### {measure}, mean and range over seeds", "", "| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
            parts.append("\n".join([*lines, *("| " + " | ".join(line) + " |" for line in found)]))
    for base in dict.fromkeys(r.cell.base for r in rows):
        lines = [f"### {base}", "", "| " + " | ".join(HEAD) + " |", "|" + " --- |" * len(HEAD)]
        first = before_line([r for r in rows if r.cell.base == base], base)
        lines += ["| " + " | ".join(first) + " |"] if first else []
        for (where, arm), of_arm in by_arm(rows).items():
            if where == base:
                lines.append("| " + " | ".join(arm_line(study, rows, base, arm, of_arm)) + " |")
        parts.append("\n".join(lines))
        if mixed := mixtures([r for r in rows if r.cell.base == base]):
            lines = [f"### {base}: each behavior of a mixture, T=1, mean and range over seeds", "", *mixed]
            parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


def mixtures(rows: Sequence[StudyRow]) -> list[str]:
    """One line per arm that trains several behaviors, one column per behavior; nothing without such an arm."""
    groups = {arm: found for (_, arm), found in by_arm(rows).items() if len(found[0].after["T=1"].behaviors) > 1}
    names = list(dict.fromkeys(name for found in groups.values() for name in found[0].after["T=1"].behaviors))
    if not names:
        return []
    lines = ["| arm | " + " | ".join(names) + " |", "|" + " --- |" * (len(names) + 1)]
    for arm, found in groups.items():
        rates = [[r.after["T=1"].behaviors[name].value for r in found if name in r.after["T=1"].behaviors] for name in names]
        lines.append(f"| {arm} | " + " | ".join(map(span, rates)) + " |")
    return lines


def across(study: Study, rows: Sequence[StudyRow], measure: str = "accuracy T=1") -> tuple[list[str], list[list[str]]]:
    """Head and lines of a table with a line per group and a column per arm; nothing for a study without groups.

    Cells: the mean over seeds, and the range where there are several.
    """
    if not study.groups:
        return [], []
    arms, groups = list(study.arms), by_arm(rows)
    lines = []
    for place in study.places():
        here = [r for r in rows if r.cell.base == place]
        if not here:
            continue
        first = next((r for r in here if r.before), None)
        before = "" if first is None else f"{MEASURES[measure](replace(first, after=first.before)):.2f}"
        cells = [span([MEASURES[measure](r) for r in groups.get((place, arm), [])]) for arm in arms]
        lines.append([place, before, *cells])
    return ["", "before", *arms], lines


def arm_line(study: Study, rows: Sequence[StudyRow], base: str, arm: str, found: Sequence[StudyRow]) -> list[str]:
    def mean(measure: str) -> str:
        return f"{sum(map(MEASURES[measure], found)) / len(found):.2f}"

    def each(measure: str) -> str:
        return " ".join(f"{MEASURES[measure](r):.2f}".removeprefix("0") for r in found)

    gap = against_control(study, rows, base, arm, "accuracy T=1")
    shown = "" if gap is None else difference(gap)
    return [
        arm,
        str(len(found)),
        f"{mean('accuracy T=1')} / {mean('accuracy greedy')}",
        each("accuracy T=1"),
        f"{mean('behavior T=1')} / {mean('behavior greedy')}",
        each("behavior T=1"),
        span([MEASURES["tokens T=1"](r) for r in found], 0),
        shown,
        str(round(sum(r.guided for r in found) / len(found))),
        _tokens(found),
        " ".join("never" if r.onset is None else str(r.onset) for r in found if r.generations),
        " ".join(f"{r.largest_gradient:.3g}" for r in found if r.largest_gradient is not None),
        _kl(found),
        "" if found[0].alarm is None else str(sum(bool(r.alarm) for r in found)),
    ]


def difference(gap: Estimate) -> str:
    """With its interval if there is more than one common seed."""
    return gap.points if math.isfinite(gap.high) else f"{100 * gap.value:+.1f}"


def _tokens(found: Sequence[StudyRow]) -> str:
    values = [r.tokens for r in found if r.tokens is not None]
    return f"{sum(values) / len(values) / 1000:.0f}" if values else ""


def _kl(found: Sequence[StudyRow]) -> str:
    values = [r.kl for r in found if r.kl is not None]
    return f"{sum(values) / len(values):.4f}" if values else ""


LATER = ("onset", "largest gradient norm", "training tokens")
"""Columns that tables written by earlier versions lack."""


def as_csv(rows: Sequence[StudyRow]) -> str:
    """One line per run with every measure, for other programs."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["base", "arm", "seed", "steps", "seconds", "guided", *MEASURES, "KL on neutral text", "first alarm", *LATER])
    for r in rows:
        measured = [f"{m(r):.4f}" for m in MEASURES.values()]
        kl = "" if r.kl is None else f"{r.kl:.6f}"
        later = ["" if x is None else f"{x:.6g}" for x in (r.onset, r.largest_gradient, r.tokens)]
        writer.writerow(
            [r.cell.base, r.cell.arm, r.cell.seed, r.steps, r.seconds, r.guided, *measured, kl, r.alarm or "", *later]
        )
    return out.getvalue()
