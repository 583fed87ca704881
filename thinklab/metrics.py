"""Figures about one scored batch, for ``metrics.jsonl`` and the progress line. Plain functions over records."""
from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from statistics import fmean

from thinklab.types import Batch, Rollout


def batch_metrics(batch: Batch) -> dict[str, float]:
    """Rates of what the student does by itself, and of what the teacher did.

    ``own/*`` are over the unguided rollouts only: the evidence of instilling. ``guidance/*`` over those that the
    teacher was asked about; a missing key means that there were none. ``guidance/not_shown`` counts guided rollouts whose
    text does not show the behaviour that was taught, ``rejected/not-shown`` replies that were refused for that reason.
    """
    own = [r for r in batch.rollouts if not r.guided]
    asked = [r for r in batch.rollouts if r.guidance is not None]
    guided = [r for r in asked if r.guided]
    figures = {
        "gamma": batch.gamma,
        "guided_fraction": len(guided) / len(batch.rollouts),
        "finished": fmean(r.finished for r in batch.rollouts),
        "equal_rewards_fraction": batch.equal_rewards,
        "zero_advantage_fraction": fmean(r.advantage == 0 for r in batch.rollouts),
        "mean_student_tokens": fmean(len(r.student_ids) for r in batch.rollouts),
    }
    if own:
        figures["own/accuracy"] = fmean(r.checks.get("correct", False) for r in own)
        if known := [r.checks["behavior"] for r in own if "behavior" in r.checks]:        # where no judge had to be asked
            figures["own/behavior"] = fmean(known)
    if asked:
        figures["guidance/accepted"] = len(guided) / len(asked)
        judged = [r for r in asked if r.guidance.verdict is not None and "student_correct" in r.checks]
        if judged:
            figures["guidance/opinion_accuracy"] = fmean(r.guidance.verdict == r.checks["student_correct"] for r in judged)
    if guided:
        known = [r.checks["guidance_shown"] for r in guided if "guidance_shown" in r.checks]
        if known:
            figures["guidance/not_shown"] = known.count(False)
        figures["guidance/accuracy_before"] = fmean(r.checks.get("student_correct", False) for r in guided)
        figures["guidance/accuracy_after"] = fmean(r.checks.get("correct", False) for r in guided)
        figures["guidance/mean_tokens"] = fmean(len(r.teacher_ids) for r in guided)
        figures["guidance/advantage"] = fmean(r.advantage or 0.0 for r in guided)
    figures.update({f"rejected/{reason}": count for reason, count in rejections(asked).items()})
    return figures


def rejections(rollouts: Sequence[Rollout]) -> Counter[str]:
    """How many pieces of guidance were rejected, by reason."""
    return Counter(r.guidance.reason for r in rollouts if r.guidance is not None and r.guidance.status == "rejected")
