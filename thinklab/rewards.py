"""What a rollout earns: correctness by the task's rule, and the behaviour's bonus where there is one."""
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from thinklab.behavior import Behavior
from thinklab.tasks.base import Task
from thinklab.types import Rollout

PARTS = ("correct", "behavior")


@dataclass(frozen=True)
class Rewards:
    """Scores rollouts: ``rewards(rollouts)`` fills in ``rewards`` and ``checks``.

    ``correct``: ``weight`` when the last answer is right and the text ended by itself. ``behavior``: the bonus of each
    behaviour that the text shows, added up; 0 for behaviours whose template asks for none.
    """

    task: Task
    behaviors: Sequence[Behavior] = ()
    weight: float = 1.0
    bonus: Mapping[str, float] = field(default_factory=dict)
    """Bonus by behaviour name, in place of the template's own."""
    require_finished: bool = True

    def __call__(self, rollouts: Sequence[Rollout]) -> list[Rollout]:
        return [self.score(r) for r in rollouts]

    def score(self, rollout: Rollout) -> Rollout:
        text, example = rollout.text, rollout.example
        correct = self.task.verify(text, example)
        counts = correct and (rollout.finished or not self.require_finished)
        shown = {b.name: bool(b.detect(text)) for b in self.behaviors}
        bonus = sum(self.bonus.get(b.name, b.bonus_for(text)) * shown[b.name] if b.name in self.bonus
                    else b.bonus_for(text) for b in self.behaviors)
        own = rollout.checks.get("student_correct")
        if own is None:
            own = self.task.verify(rollout.student_text, example) if rollout.guided else correct
        checks = {**rollout.checks, "correct": correct, "student_correct": own, "behavior": any(shown.values())}
        return replace(rollout, rewards={"correct": self.weight * counts, "behavior": float(bonus)}, checks=checks)


def reward_function(part: str) -> Callable[..., list[float]]:
    """One part as a reward function for TRL: it reads what ``Rewards`` has already worked out."""

    def function(completions, rollout: Sequence[Rollout], **_) -> list[float]:
        return [r.rewards[part] for r in rollout]

    function.__name__ = part
    return function
