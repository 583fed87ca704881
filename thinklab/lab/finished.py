"""A Lab opened on a finished run: its batch, queue, and metrics come from the records.

The batch is the last one that was open in a Lab (``waiting.json`` keeps it); in a run that trained unattended, the first.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from thinklab.lab.learned import Learned
from thinklab.lab.results import Metrics
from thinklab.review.waiting import Store, Waiting
from thinklab.run.folder import RunFolder
from thinklab.types import Batch, Guidance, Rollout, rollout_from_json

if TYPE_CHECKING:
    from thinklab.lab.engine import Engine
    from thinklab.review.item import Item
    from thinklab.review.queue import ReviewQueue

CLOSED = "this run is finished; its decisions are final"


def on_record(run: RunFolder) -> Waiting | None:
    """The batch to show of a finished run, in its state before guidance; None if the run has no records."""
    if (held := Store(run).held()) is not None and held.guided:
        return held
    lines: list[dict[str, Any]] = []
    for line in run.read("rollouts"):
        if lines and line["generation"] != lines[0]["generation"]:
            break
        lines.append(line)
    if not lines:
        return None
    rollouts = [rollout_from_json(line) for line in lines]
    said = {r.id: _as_it_came(r.guidance) for r in rollouts if r.guidance is not None}
    batch = Batch(lines[0]["generation"], lines[0]["step"], tuple(map(_unguided, rollouts)))
    return Waiting(batch, "", said, guided=True)


def queue(engine: Engine, past: Waiting) -> ReviewQueue:
    """The decisions about ``past``, read-only."""
    from thinklab.review.queue import (
        ReviewQueue,
    )  # not at the head: it imports transformers, and must be imported after Unsloth

    held = bool(past.key)  # the decisions were made in a Lab and are in reviews.jsonl
    found = ReviewQueue(past.batch.rollouts, past.proposals, engine.required_guide, engine.rewards, engine.run if held else None)
    if not held:
        trained = {line["id"]: line["guidance"] for line in engine.run.read("rollouts") if line["id"] in past.proposals}

        def as_trained(item: Item) -> bool | str | None:
            guidance = trained[item.id]
            return False if guidance["status"] == "rejected" else guidance["edited"] or True

        found.apply(as_trained)
    found.closed = CLOSED
    return found


def metrics(run: RunFolder, past: Waiting, span: int) -> Metrics:
    """The metrics of the update that trained on ``past``."""
    figures: dict[str, Any] = {}
    for line in run.read("metrics"):
        if past.batch.step < line["step"] <= past.batch.step + span:
            figures |= line
    learned = [line for line in run.read("learned") if line["step"] == past.batch.step + span]
    return Metrics(figures, Learned.from_json(learned))


def last_metrics(run: RunFolder) -> Metrics:
    """The metrics of the last step of the run."""
    *_, last = [{}, *run.read("metrics")]
    return Metrics(last)


def _unguided(rollout: Rollout) -> Rollout:
    """The student's original text."""
    right = rollout.checks.get("student_correct", rollout.checks.get("correct"))
    checks = {} if right is None else {"correct": right, "student_correct": right}
    return replace(rollout, text=rollout.student_text, guidance=None, teacher_ids=(), rewards={}, advantage=None, checks=checks)


def _as_it_came(guidance: Guidance) -> Guidance:
    return replace(guidance, edited=None, status="proposed") if guidance.text else guidance
