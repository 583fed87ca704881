"""``Rewards``: the reward of a rollout, from the task's verifier or grade, the behavior's bonus, and functions of the user's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TypeVar

from thinklab.behavior.behavior import Behavior
from thinklab.reward_functions import RewardFunctions
from thinklab.tasks.base import Task
from thinklab.types import REWARD_PARTS, Example, Rollout

REMEMBERED = 20_000
T = TypeVar("T")


@dataclass(frozen=True)
class Rewards:
    """Scores rollouts: ``rewards(rollouts)`` fills in ``rewards`` and ``checks``.

    ``correct``: ``weight`` if the last answer is right and the text ended with EOS; with a task that grades, ``weight`` times the
    grade. ``behavior``: the bonus of each behavior that the text shows, added up; 0 for behaviors without a bonus. One part for
    each of ``functions``. The parts add up to the reward.
    """

    task: Task
    behaviors: Sequence[Behavior] = ()
    weight: float = 1.0
    bonus: Mapping[str, float] = field(default_factory=dict)
    """Bonus by behavior name, overriding the behavior file."""
    require_finished: bool = True
    functions: RewardFunctions = field(default_factory=RewardFunctions)
    """The user's own functions."""
    _known: dict[tuple[str, str], bool] = field(default_factory=dict, repr=False)
    _grades: dict[tuple[str, str], float] = field(default_factory=dict, repr=False)

    def __call__(self, rollouts: Sequence[Rollout], log: bool = True) -> list[Rollout]:
        """
        Args:
            log: pass on what the functions log; False for answers that are not trained on as they are.
        """
        shown = {b.name: b.shown([r.text for r in rollouts]) for b in self.behaviors}  # a judge gets all texts in one call
        given, alone = self.functions(rollouts, log), self.functions.without_guidance(rollouts)
        return [
            self.score(r, {name: found[k] for name, found in shown.items()}, given[k], alone[k]) for k, r in enumerate(rollouts)
        ]

    @property
    def parts(self) -> tuple[str, ...]:
        """The parts of the reward. Beside functions only those of ``REWARD_PARTS`` that can earn something: an answer that no function
        rewards then has no reward, as in TRL, rather than a reward of 0."""
        if not self.functions.names:
            return REWARD_PARTS
        earns = {"correct": self.weight != 0, "behavior": any(self.bonus.get(b.name, b.reward.bonus) for b in self.behaviors)}
        return (*(part for part in REWARD_PARTS if earns[part]), *self.functions.names)

    @property
    def unasked(self) -> Rewards:
        """The same without calling a judge, which earns no bonus anyway: for a text that is still being edited."""
        return replace(self, behaviors=[b.unasked for b in self.behaviors])

    def verify(self, text: str, example: Example) -> bool:
        """``task.verify``, cached: mathematics can take a while, and the guide needs the same texts."""
        return _remembered(self._known, self.task.verify, text, example)

    def grade(self, text: str, example: Example) -> float:
        """What ``correct`` is worth before its weight: 1 or 0, or what the task's ``grade`` says. Cached as well."""
        if self.task.grade is None:
            return float(self.verify(text, example))
        return _remembered(self._grades, self.task.grade, text, example)

    def warm(self, rollouts: Sequence[Rollout]) -> None:
        """Precompute what ``score`` will need, for instance while waiting for a teacher."""
        for rollout in rollouts:
            self.verify(rollout.text, rollout.example)

    def score(
        self,
        rollout: Rollout,
        shown: Mapping[str, bool | None] | None = None,
        given: Mapping[str, float] | None = None,
        alone: Mapping[str, float] = MappingProxyType({}),
    ) -> Rollout:
        """One rollout.

        Args:
            shown: by behavior, whether its text shows it, if already known; None: no verdict.
            given: the parts of the functions; None: they are called with this answer alone.
            alone: the same for the student's part of a guided rollout.
        """
        text, example = rollout.text, rollout.example
        correct = self.verify(text, example)
        shown = {b.name: b.shown([text])[0] for b in self.behaviors} if shown is None else shown
        bonus = sum(
            self.bonus[b.name] * bool(shown[b.name]) if b.name in self.bonus else b.bonus_for(text) for b in self.behaviors
        )
        checks = {**rollout.checks, "correct": correct, "student_correct": self.verify(rollout.student_text, example)}
        if any(shown.values()) or None not in shown.values():  # otherwise it takes a judge
            checks["behavior"] = any(shown.values())
        given = self.functions.alone(rollout) if given is None else given
        return replace(
            rollout,
            rewards=self._parts(rollout, text, bonus, given),
            own_rewards=self._own(rollout, alone) if rollout.guided else {},
            checks=checks,
        )

    def _own(self, rollout: Rollout, alone: Mapping[str, float]) -> dict[str, float]:
        """The rewards of the student's part of a guided rollout, as if nothing had been spliced behind it."""
        text = rollout.student_text
        earns = [b.unasked for b in self.behaviors]  # a judge earns no bonus
        bonus = sum(self.bonus[b.name] * bool(b.shown([text])[0]) if b.name in self.bonus else b.bonus_for(text) for b in earns)
        return self._parts(rollout, text, bonus, alone)

    def _parts(self, rollout: Rollout, text: str, bonus: float, given: Mapping[str, float]) -> dict[str, float]:
        counts = rollout.finished or not self.require_finished
        correct = self.weight * self.grade(text, rollout.example) if counts else 0.0
        earned = {"correct": correct, "behavior": float(bonus), **given}
        return {part: earned[part] for part in self.parts if part in earned}


def _remembered(known: dict[tuple[str, str], T], function: Callable[[str, Example], T], text: str, example: Example) -> T:
    key = (example.id, text)
    if key not in known:
        if len(known) >= REMEMBERED:
            known.clear()
        known[key] = function(text, example)
    return known[key]


def reward_function(part: str) -> Callable[..., list[float | None]]:
    """One part as a reward function for TRL: it reads what ``Rewards`` has already computed."""

    def function(completions: object, rollout: Sequence[Rollout], **_: object) -> list[float | None]:
        return [r.rewards.get(part) for r in rollout]

    function.__name__ = part
    return function
