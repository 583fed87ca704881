"""``batch_metrics``: one scored batch as figures for ``metrics.jsonl``: rewards, verdicts, rejections, lengths.

Plain functions over records.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean
from typing import Any

from thinklab.types import REWARD_PARTS, Batch, Rollout


def batch_metrics(batch: Batch) -> dict[str, float]:
    """Rates of the student's unguided behavior, and of the teacher's replies.

    ``own/*`` cover the unguided rollouts only: the evidence that the student has learned. ``guidance/*`` over those sent to the teacher; a
    missing key means that there were none. ``guidance/not_shown`` counts guided rollouts whose
    text does not show the behavior that was taught, ``rejected/not-shown`` replies that were rejected for that reason.
    ``own/rewards/NAME`` is the mean of a reward function of the user's own.
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
    for name, check in (("own/accuracy", "correct"), ("own/behavior", "behavior")):
        if known := [r.checks[check] for r in own if check in r.checks]:  # custom reward functions report neither
            figures[name] = fmean(known)
    for part in dict.fromkeys(name for r in own for name in r.rewards if name not in REWARD_PARTS):
        figures[f"own/rewards/{part}"] = fmean(r.rewards[part] for r in own if part in r.rewards)
    if asked:
        figures["guidance/accepted"] = len(guided) / len(asked)
        verdicts = [(r.guidance.verdict, r.checks) for r in asked if r.guidance is not None]
        judged = [v == c["student_correct"] for v, c in verdicts if v is not None and "student_correct" in c]
        if judged:
            figures["guidance/opinion_accuracy"] = fmean(judged)
    if guided:
        shown = [r.checks["guidance_shown"] for r in guided if "guidance_shown" in r.checks]
        if shown:
            figures["guidance/not_shown"] = shown.count(False)
        for name, check in (("guidance/accuracy_before", "student_correct"), ("guidance/accuracy_after", "correct")):
            if known := [r.checks[check] for r in guided if check in r.checks]:
                figures[name] = fmean(known)
        figures["guidance/mean_tokens"] = fmean(len(r.teacher_ids) for r in guided)
        figures["guidance/advantage"] = fmean(r.advantage or 0.0 for r in guided)
    figures.update({f"rejected/{reason}": count for reason, count in rejections(asked).items()})
    return figures


def function_parts(lines: Iterable[Mapping[str, Any]]) -> list[str]:
    """Names of the user's own reward functions in lines of ``metrics.jsonl``."""
    found = dict.fromkeys(key for line in lines for key in line if key.startswith("rewards/") and key.endswith("/mean"))
    return [name for key in found if (name := key.removeprefix("rewards/").removesuffix("/mean")) not in REWARD_PARTS]


def over_batches(figures: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Combined metrics of several batches: means over the batches that have them, and the sum of rejections."""
    every = dict.fromkeys(key for one in figures for key in one)
    return {key: (sum if key.startswith("rejected/") else fmean)([one[key] for one in figures if key in one]) for key in every}


def rejections(rollouts: Sequence[Rollout]) -> Counter[str]:
    """How many pieces of guidance were rejected, by reason."""
    return Counter(r.guidance.reason for r in rollouts if r.guidance is not None and r.guidance.status == "rejected")
