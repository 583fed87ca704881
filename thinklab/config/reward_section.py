"""``RewardSection``: the keys under ``reward:`` (correctness, bonus of the behaviors, functions of the user's own)."""

from __future__ import annotations

from typing import Any, Self

from pydantic import Field, model_validator

from thinklab.config import yaml_model
from thinklab.config.section import Section
from thinklab.types import REWARD_PARTS


class RewardFunctionSection(Section):
    """A reward function of the user's own, with TRL's signature. A text alone is its ``function``."""

    function: str
    """``./my.py:brevity``, a function in a file beside the config, or ``module:function``."""
    weight: float = 1.0
    """Factor on what it returns."""
    name: str | None = Field(None, pattern=r"^[A-Za-z]\w*$")
    """Its part of the reward in records and figures; None: the function's name."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Further keyword arguments of every call."""

    @property
    def part(self) -> str:
        return self.name or self.function.rpartition(":")[2]

    @model_validator(mode="before")
    @classmethod
    def _short(cls, data: Any) -> Any:
        return {"function": data} if isinstance(data, str) else data

    @model_validator(mode="after")
    def _reference(self) -> Self:
        if ":" not in self.function:
            raise yaml_model.fault(
                f"{self.function!r} names no function: write FILE:NAME, such as ./my.py:brevity, or module:function", "function"
            )
        return self


class RewardSection(Section):
    """What an answer earns: the sum of these parts."""

    correct: float = 1.0
    """Reward of a correct answer, or factor on the grade of a task that grades; 0: only ``functions`` count."""
    bonus: dict[str, float] = Field(default_factory=dict)
    """Bonus by behavior name, overriding the behavior file."""
    functions: list[RewardFunctionSection] = Field(default_factory=list)
    """Reward functions of your own, with TRL's signature: ``[./my.py:brevity]``; see docs/own-rewards.md."""
    require_finished: bool = True
    """An answer that was cut off at ``train.max_completion_tokens`` earns nothing for being correct; functions decide for themselves."""

    @model_validator(mode="after")
    def _names(self) -> Self:
        taken = dict.fromkeys(REWARD_PARTS, "a part that thinklab gives")
        for k, function in enumerate(self.functions):
            if function.part in taken:
                raise yaml_model.fault(
                    f"{function.part!r} is also the name of {taken[function.part]}: give this one a name of its own, such as "
                    f"{{function: {function.function}, name: {function.part}_{k + 1}}}",
                    f"functions.{k}",
                )
            taken[function.part] = "another function"
        return self
