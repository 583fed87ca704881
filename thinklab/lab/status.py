"""``status``: the step of a Lab, its pending work, recent alarms, and the next call."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from thinklab.config.experiment import Experiment
from thinklab.lab.guard_lines import short
from thinklab.lab.results import Metrics, Status, batch_text
from thinklab.run.folder import RunFolder

if TYPE_CHECKING:
    from thinklab.lab.decisions import Decisions
    from thinklab.lab.engine import Engine

LAST_ALARMS = 3


def status(config: Experiment, path: Path, engine: Engine | None, decisions: Decisions | None, said: Sequence[str]) -> Status:
    """The status of the Lab in ``path``.

    Args:
        engine: None for a closed one.
        said: all messages during training.
    """
    parts = {
        "student": config.student.path or config.student.kind,
        "task": config.task.name,
        "behaviors": ", ".join(b.name for b in config.behaviors) or "none",
        "teacher": config.teacher.backend if config.loss.method != "grpo" else "none",
        "method": config.loss.method,
    }
    steps = config.train.steps
    if engine is None or decisions is None:
        found = RunFolder(path).last_checkpoint()
        again = f"Lab(out={str(path)!r})"
        return Status(config.name, str(path), found[1] if found else 0, steps, parts, "closed", "closed", again)
    stage, now, then = _stage(engine, decisions)
    last = next(iter(engine.lines[-1:]), None)
    return Status(
        config.name,
        str(path),
        engine.step,
        steps,
        parts,
        stage,
        now,
        then,
        Metrics(last).line if last else "",
        tuple(short(text) for text in said[-LAST_ALARMS:]),
    )


def _stage(engine: Engine, decisions: Decisions) -> tuple[str, str, str]:
    """(the next stage, the state in words, the next call)"""
    if engine.worker.busy:
        return "", f"busy: {engine.worker.progress.text}", ""
    waiting = engine.waiting
    if waiting is None:
        if engine.step >= engine.config.train.steps:
            return "done", "all steps are done", "lab.probe()"
        return "rollout", "no batch is pending", "batch = lab.rollout()"
    what = batch_text(waiting.batch)
    if engine.guide is None:
        return "update", what, "lab.update(batch)"
    if not waiting.guided:
        return "guide", what, "lab.guide(batch)"
    queue = decisions.queue(waiting)
    left = sum(i.state in ("open", "skipped") for i in queue.items)
    if left:
        return "review", f"{what}; {left} of {len(queue)} pieces of guidance undecided", "lab.review(batch)"
    return "update", f"{what}; {len(queue)} pieces of guidance, all decided", "lab.update(batch)"
