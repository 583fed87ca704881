"""``Comparison`` and ``run_control``: the plain GRPO control of ``lab.compare``: config, process, table, curves.

    python -m thinklab.lab.control_process FOLDER STEP     # what ``lab.compare()`` starts; FOLDER/plan.json is the config

It is a run like any other, in ``RUN/control``; an interrupted one resumes at the next call. On a GPU it loads a second student
next to the first; whether both fit is untested.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

from thinklab.config.experiment import Experiment
from thinklab.config.names import LONGEST_NAME
from thinklab.errors import LabError, RunError
from thinklab.experiment.children import Children, spawn
from thinklab.lab.curves import Points, chart, smoothed
from thinklab.lab.results import LabProbe, as_text, box, table
from thinklab.lab.worker import Progress, bar
from thinklab.probing import probe
from thinklab.probing.result import ProbeResult
from thinklab.probing.stats import Estimate
from thinklab.probing.table import HEAD, TITLE, rows_of
from thinklab.run.folder import RunFolder
from thinklab.widgets.before_after import side_by_side
from thinklab.widgets.html import Html

PATIENCE_S = 60.0
ANSWERS = 5
"""Number of questions that ``compare`` shows with their answers."""


@dataclass(frozen=True)
class Comparison:
    """This run and its control on the same held-out questions."""

    step: int
    before: Mapping[str, ProbeResult]
    control: Mapping[str, ProbeResult]
    run: Mapping[str, ProbeResult]
    difference: Mapping[str, Any]
    """Paired by question, this run minus the control, with 95 % bootstrap intervals; by decoding, layout of ``probe.json``."""
    curves: Mapping[str, Mapping[str, Points]] = field(default_factory=dict)
    """By title and run name: rates of unguided answers during training."""
    answers: Html | None = None
    """Five questions with the answers before training, of the control, and of this run."""

    def rows(self) -> list[tuple[str, ...]]:
        arms = (
            ("before", self.before),
            (f"plain GRPO, step {self.step}", self.control),
            (f"this run, step {self.step}", self.run),
        )
        return [row.cells() for label, results in arms for row in rows_of(label, "after", results)]

    def sentences(self) -> list[str]:
        said = []
        for decoding, gap in self.difference.items():
            parts = [f"accuracy {_points(gap['accuracy'])}", *(f"{n} {_points(e)}" for n, e in gap["behaviors"].items())]
            said.append(f"This run minus the control, {decoding}: {', '.join(parts)} percentage points.")
        return said

    def __repr__(self) -> str:
        return "\n".join([as_text(HEAD, self.rows(), TITLE), *self.sentences()])

    def _repr_html_(self) -> str:
        drawn = "".join(chart(title, {name: smoothed(p) for name, p in lines.items()}) for title, lines in self.curves.items())
        shown = box(
            f"<div style='display:flex;flex-wrap:wrap;gap:16px'>{drawn}</div>",
            f"<p>{TITLE}</p>",
            table(HEAD, self.rows()),
            *(f"<p>{escape(s)}</p>" for s in self.sentences()),
        )
        return shown + (self.answers.to_html() if self.answers is not None else "")


def control_config(config: Experiment, overrides: list[str]) -> dict[str, Any]:
    """``config`` without its teacher, and with ``overrides``.

    Raises:
        ConfigError: for an invalid override.
    """
    from thinklab.lab.settings import experiment

    plain = config.model_dump(mode="json")
    plain["name"] = f"{config.name[: LONGEST_NAME - 8]}-control"
    plain["loss"]["method"] = "grpo"
    return experiment(plain, overrides, None, {}, None)[0].model_dump(mode="json")


def run_control(
    folder: Path, plan: dict[str, Any], step: int, questions: int | None, samples: int | None, quiet: bool = False
) -> dict[str, ProbeResult]:
    """Train the control to ``step`` and measure it there.

    Args:
        quiet: no progress bar.

    Raises:
        LabError: if the control is already past ``step``, or was started with another config.
        RunError: when it fails; its log is quoted.
        KeyboardInterrupt: it was stopped and has saved; call again to resume.
    """
    run = RunFolder(folder)
    wanted = {"plan": plan, "questions": questions, "samples": samples}
    if (found := run.read_json("plan.json")) is not None and found["plan"] != plan:
        raise LabError(f"{folder} contains a control with another config; rename that folder and run the call again")
    known = run.read_json("probe.json") or {}
    if not (found == wanted and known.get("steps") == step and "after" in known):
        folder.mkdir(parents=True, exist_ok=True)
        run.write_json("plan.json", wanted)
        progress = Progress()
        progress.begin("control: plain GRPO", step)

        def show(done: int) -> None:
            progress.done = min(done, step)
            draw()

        with bar(progress, quiet) as draw:
            _run(folder, step, show)
        known = run.read_json("probe.json")
    return {d: ProbeResult.from_json(r) for d, r in known["after"].items()}


def _run(folder: Path, step: int, show: Callable[[int], None]) -> None:
    log = folder / "log.txt"
    command = [sys.executable, "-m", "thinklab.lab.control_process", str(folder), str(step)]
    with Children(patience_s=PATIENCE_S) as children:
        process = spawn(command, log, {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))})
        child = children.add("the control", process, log)
        while not children.ended():
            show(sum(1 for _ in RunFolder(folder).read("metrics")))
    if child.failure:
        raise RunError(child.failure)
    show(step)


def compare(run: RunFolder, step: int, control: Mapping[str, ProbeResult], mine: LabProbe) -> Comparison:
    """``run`` and its control, both measured at ``step``; writes ``compare.json``."""
    gap = differences(RunFolder(run.path / "control"), run)
    run.write_json("compare.json", {"step": step, "difference": gap})
    arms = {"this run": run, "plain GRPO": RunFolder(run.path / "control")}
    return Comparison(step, mine.before, control, mine.after, gap, _curves(arms), side_by_side(arms, ANSWERS))


def _curves(arms: Mapping[str, RunFolder]) -> dict[str, dict[str, Points]]:
    """Rates over the unguided rollouts of each step."""
    lines = {name: list(run.read("metrics")) for name, run in arms.items()}
    wanted = {"Accuracy of unguided answers": "own/accuracy", "Unguided answers that show the behavior": "own/behavior"}
    return {
        title: {name: [(m["step"], m[key]) for m in found if m.get(key) is not None] for name, found in lines.items()}
        for title, key in wanted.items()
    }


def differences(control: RunFolder, run: RunFolder) -> dict[str, Any]:
    """Run minus control, by decoding, from the answers on disk."""
    mine, theirs = ([line for line in folder.read("probe_samples") if line["stage"] == "after"] for folder in (run, control))
    by = {d: ([x for x in theirs if x["decoding"] == d], [x for x in mine if x["decoding"] == d]) for d in probe.DECODINGS}
    return {d: gap for d, (a, b) in by.items() if a and b and (gap := probe.differences(a, b))}


def _points(gap: Mapping[str, float]) -> str:
    return Estimate(**gap).points
