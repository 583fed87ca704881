"""``Rewards``: the reward of a rollout, from the task's verifier and the behavior's bonus."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from thinklab.behavior.behavior import Behavior
from thinklab.tasks.base import Task
from thinklab.types import Example, Rollout

REWARD_PARTS = ("correct", "behavior")
REMEMBERED = 20_000


@dataclass(frozen=True)
class Rewards:
    """Scores rollouts: ``rewards(rollouts)`` fills in ``rewards`` and ``checks``.

    ``correct``: ``weight`` if the last answer is right and the text ended with EOS. ``behavior``: the bonus of each
    behavior that the text shows, added up; 0 for behaviors without a bonus.
    """

    task: Task
    behaviors: Sequence[Behavior] = ()
    weight: float = 1.0
    bonus: Mapping[str, float] = field(default_factory=dict)
    """Bonus by behavior name, overriding the behavior file."""
    require_finished: bool = True
    _known: dict[tuple[str, str], bool] = field(default_factory=dict, repr=False)

    def __call__(self, rollouts: Sequence[Rollout]) -> list[Rollout]:
        shown = {b.name: b.shown([r.text for r in rollouts]) for b in self.behaviors}  # a judge gets all texts in one call
        return [self.score(r, {name: found[k] for name, found in shown.items()}) for k, r in enumerate(rollouts)]

    @property
    def unasked(self) -> Rewards:
        """The same without calling a judge, which earns no bonus anyway: for a text that is still being edited."""
        return replace(self, behaviors=[b.unasked for b in self.behaviors])

    def verify(self, text: str, example: Example) -> bool:
        """``task.verify``, cached: mathematics can take a while, and the guide needs the same texts."""
        key = (example.id, text)
        if key not in self._known:
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            self._known[key] = self.task.verify(text, example)
        return self._known[key]

    def warm(self, rollouts: Sequence[Rollout]) -> None:
        """Precompute what ``score`` will need, for instance while waiting for a teacher."""
        for rollout in rollouts:
            self.verify(rollout.text, rollout.example)

    def score(self, rollout: Rollout, shown: Mapping[str, bool | None] | None = None) -> Rollout:
        """One rollout. ``shown``: by behavior, whether its text shows it, if already known; None: no verdict."""
        text, example = rollout.text, rollout.example
        correct = self.verify(text, example)
        counts = correct and (rollout.finished or not self.require_finished)
        shown = {b.name: b.shown([text])[0] for b in self.behaviors} if shown is None else shown
        bonus = sum(
            self.bonus[b.name] * bool(shown[b.name]) if b.name in self.bonus else b.bonus_for(text) for b in self.behaviors
        )
        checks = {**rollout.checks, "correct": correct, "student_correct": self.verify(rollout.student_text, example)}
        if any(shown.values()) or None not in shown.values():  # otherwise it takes a judge
            checks["behavior"] = any(shown.values())
        return replace(
            rollout,
            rewards={"correct": self.weight * counts, "behavior": float(bonus)},
            own_rewards=self._own(rollout, checks["student_correct"]) if rollout.guided else {},
            checks=checks,
        )

    def _own(self, rollout: Rollout, correct: bool) -> dict[str, float]:
        """The rewards of the student's part of a guided rollout, as if nothing had been spliced behind it."""
        text, counts = rollout.student_text, correct and (rollout.finished or not self.require_finished)
        earns = [b.unasked for b in self.behaviors]  # a judge earns no bonus
        bonus = sum(self.bonus[b.name] * bool(b.shown([text])[0]) if b.name in self.bonus else b.bonus_for(text) for b in earns)
        return {"correct": self.weight * counts, "behavior": float(bonus)}


def reward_function(part: str) -> Callable[..., list[float]]:
    """One component as a reward function for TRL: it reads what ``Rewards`` has already computed."""

    def function(completions: object, rollout: Sequence[Rollout], **_: object) -> list[float]:
        return [r.rewards[part] for r in rollout]

    function.__name__ = part
    return function
