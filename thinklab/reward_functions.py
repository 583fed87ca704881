"""``RewardFunctions``: calls the functions under ``reward.functions`` as TRL would, weighs and checks what they return.

They are called by ``Rewards``, not by TRL, so that what a review previews, what the records say and what is trained on come from
one place. They see each answer as it is trained on: the whole text, reasoning included, and the guidance behind it.
"""

from __future__ import annotations

import asyncio
import inspect
import math
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

from thinklab.config.reward_section import RewardSection
from thinklab.errors import ConfigError, TrainingError
from thinklab.interop.own_code import find_function, place_in
from thinklab.tasks.base import Task
from thinklab.types import Example, Rollout

REMEMBERED = 20_000
ALWAYS = ("prompts", "completions", "completion_ids", "trainer_state", "log_extra", "log_metric", "rollout")
"""Keywords of every call beside the columns of the questions; all but ``rollout`` are TRL's."""
COLUMNS = ("example_id", "question", "answer", "gold", "solution")
"""Columns that every question has; ``answer``, ``gold`` and ``solution`` are its reference answer."""


@dataclass(frozen=True)
class RewardFunction:
    """One function; its value times ``weight`` is one part of the reward."""

    name: str
    """Of the part."""
    function: Callable[..., Any]
    weight: float = 1.0
    options: Mapping[str, Any] = field(default_factory=dict)
    """Further keyword arguments."""
    source: str = ""
    """As the config names it, for messages."""

    @classmethod
    def load(cls, source: str, weight: float = 1.0, name: str | None = None, options: Mapping[str, Any] = {}) -> RewardFunction:
        """The function called ``source``, ``./my.py:f`` or ``module:f``.

        Raises:
            ConfigError: when there is none.
        """
        found = find_function(source, "the reward function", ConfigError)
        return cls(name or source.rpartition(":")[2], found, weight, dict(options), source)

    def check(self, columns: Iterable[str]) -> None:
        """
        Args:
            columns: of the questions.

        Raises:
            ConfigError: if it cannot be called with them and ``options``.
        """
        given, parameters = {*ALWAYS, *columns}, self._parameters()
        if parameters is None:
            return
        named = {n: p for n, p in parameters.items() if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
        if only := [n for n, p in parameters.items() if p.kind is p.POSITIONAL_ONLY]:
            raise ConfigError(f"{self}: its parameter {only[0]!r} is positional; reward functions are called with keywords only")
        catches_all = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
        if not catches_all and (unknown := [name for name in self.options if name not in named]):
            raise ConfigError(f"{self} has no parameter {unknown[0]!r}, which 'options' sets; it takes {', '.join(named)}")
        needed = [n for n, p in named.items() if p.default is p.empty and n not in self.options]
        if missing := [n for n in needed if n not in given]:
            raise ConfigError(
                f"{self} needs {missing[0]!r}, which is no column of these questions: set it under 'options', give it a default, or "
                f"use one of {', '.join(sorted(given))}"
            )

    def __call__(self, offered: Mapping[str, Any], answers: int) -> list[float | None]:
        """``weight`` x value for each of ``answers`` answers; None where it gives none.

        Raises:
            TrainingError: if it fails or returns something else.
        """
        keywords, parameters = {**offered, **self.options}, self._parameters()
        if parameters is not None and not any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
            keywords = {name: value for name, value in keywords.items() if name in parameters}
        try:
            found = self.function(**keywords)
            if inspect.isawaitable(found):
                found = _await(found)
        except Exception as error:  # the user's own code: it may raise anything
            raise TrainingError(f"{self} failed: {place_in(error, self.function)}{type(error).__name__}: {error}") from error
        try:
            values = list(found)
        except TypeError:
            raise TrainingError(f"{self} returned {found!r:.40}; it must return a list with a number for each answer") from None
        if len(values) != answers:
            raise TrainingError(
                f"{self} returned {len(values)} rewards for {answers} answers; it must return one for each, None for no reward"
            )
        return [self._weighted(value) for value in values]

    def __str__(self) -> str:
        return f"the reward function {self.source or self.name!r}"

    def _weighted(self, value: Any) -> float | None:
        if value is None:
            return None
        try:
            number = float(value) if not isinstance(value, str | bytes) else None
        except (TypeError, ValueError):
            number = None
        if number is None or math.isinf(number):
            raise TrainingError(f"{self} returned {value!r:.40} for an answer; it must be a finite number, or None for no reward")
        return None if math.isnan(number) else self.weight * number

    def _parameters(self) -> Mapping[str, inspect.Parameter] | None:
        try:
            return inspect.signature(self.function).parameters
        except (TypeError, ValueError):  # functions written in C have no signature
            return None


def _await(value: Awaitable[Any]) -> Any:
    """On a thread of its own: in a notebook, this one may have a running loop."""

    async def wait() -> Any:
        return await value

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, wait()).result()


class RewardFunctions:
    """All reward functions of a run.

    Args:
        functions: each with a name of its own.
        prompt: the chat messages of a question.
        encode: text to ids, for guidance that is not spliced yet; None: such text has no ids.
        student_part: also reward the student's part of guided rollouts by itself, for ``loss.credit: own``.
    """

    def __init__(
        self,
        functions: Sequence[RewardFunction] = (),
        prompt: Callable[[Example], Any] | None = None,
        encode: Callable[[str], Sequence[int]] | None = None,
        student_part: bool = False,
    ):
        self.functions, self.prompt, self.encode, self.student_part = tuple(functions), prompt, encode, student_part
        self.trainer: Any = None
        """Once there is one: its state and its ``log_metric`` are offered as TRL offers them."""
        self._known: dict[tuple[str, str], dict[str, float]] = {}

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(f.name for f in self.functions)

    def __call__(self, rollouts: Sequence[Rollout], log: bool = True) -> list[dict[str, float]]:
        """The parts of the reward of each rollout; a function that gives none is left out, as TRL leaves it out.

        Args:
            log: pass on what the functions log.

        Raises:
            TrainingError: naming the function that failed.
        """
        found: list[dict[str, float]] = [{} for _ in rollouts]
        if not self.functions or not rollouts:
            return found
        offered = self._offered(rollouts, log)
        for function in self.functions:
            for parts, value in zip(found, function(offered, len(rollouts)), strict=True):
                if value is not None:
                    parts[function.name] = value
        return found

    def without_guidance(self, rollouts: Sequence[Rollout]) -> list[dict[str, float]]:
        """The same as if nothing had been spliced; empty where that is not wanted or nothing was spliced."""
        if not self.student_part or not any(r.guided for r in rollouts):
            return [{} for _ in rollouts]
        plain = [replace(r, text=r.student_text, teacher_ids=()) for r in rollouts]
        return [parts if r.guided else {} for r, parts in zip(rollouts, self(plain, log=False), strict=True)]

    def alone(self, rollout: Rollout) -> dict[str, float]:
        """The same for one answer by itself, remembered: for previews."""
        key = rollout.example.id, rollout.text
        if key not in self._known:
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            (self._known[key],) = self([rollout], log=False)
        return self._known[key]

    def check(self, examples: Sequence[Example], answers: int) -> None:
        """Call every function once with made-up answers to the first questions, so that a mistake ends the run before it begins.

        Args:
            answers: how many to each question; there is one to each as many times as a generation has.

        Raises:
            ConfigError: naming the function and what it did.
        """
        if not self.functions or not examples:
            return
        columns = {*COLUMNS, *(key for e in examples for key in e.meta)}
        for function in self.functions:
            function.check(columns)
        rollouts = []
        for group, example in enumerate(examples):
            for k in range(answers):
                text = f"So \\boxed{{{example.gold}}}." if k % 2 else "I do not know."
                ids = tuple(self.encode(text)) if self.encode is not None else ()
                rollouts.append(Rollout(f"check-{group}-{k}", group, example, (), ids, True, text, text))
        try:
            self(rollouts, log=False)
        except TrainingError as error:
            raise ConfigError(f"{error} (called with made-up answers before the run)") from error.__cause__

    def _offered(self, rollouts: Sequence[Rollout], log: bool) -> dict[str, Any]:
        from transformers import TrainerState  # must be imported after Unsloth

        meta = dict.fromkeys(key for r in rollouts for key in r.example.meta)
        golds = [r.example.gold for r in rollouts]
        prompts = [r.example.question if self.prompt is None else self.prompt(r.example) for r in rollouts]
        chat = not isinstance(prompts[0], str)
        trainer, mute = self.trainer, _nothing
        return {
            **dict.fromkeys(("answer", "solution"), golds),  # a column of that name in the data set comes first
            **{key: [r.example.meta.get(key) for r in rollouts] for key in meta},
            "example_id": [r.example.id for r in rollouts],
            "question": [r.example.question for r in rollouts],
            "gold": golds,
            "prompts": prompts,
            "completions": [[{"role": "assistant", "content": r.text}] if chat else r.text for r in rollouts],
            "completion_ids": [self._ids(r) for r in rollouts],
            "rollout": list(rollouts),
            "trainer_state": TrainerState() if trainer is None else trainer.state,
            "log_extra": trainer._log_completion_extra if log and trainer is not None else mute,
            "log_metric": trainer._log_metric if log and trainer is not None else mute,
        }

    def _ids(self, rollout: Rollout) -> list[int]:
        """Of the text: what is trained on, or, for guidance under review, what would be."""
        added = rollout.text[len(rollout.student_text) :]
        if rollout.guided or not added or self.encode is None:
            return list(rollout.completion_ids)
        kept = rollout.student_ids[:-1] if rollout.finished else rollout.student_ids
        return [*kept, *self.encode(added), *rollout.student_ids[len(kept) :]]


def _nothing(*_: Any, **__: Any) -> None:
    """What ``log_metric`` and ``log_extra`` do in a preview."""


def load_functions(
    section: RewardSection, task: Task, encode: Callable[[str], Sequence[int]] | None = None, student_part: bool = False
) -> RewardFunctions:
    """The functions that ``reward.functions`` names; the other arguments as for ``RewardFunctions``.

    Raises:
        ConfigError: when one cannot be found.
    """
    functions = [RewardFunction.load(f.function, f.weight, f.part, f.options) for f in section.functions]
    return RewardFunctions(functions, task.prompt, encode, student_part)
