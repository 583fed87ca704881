"""Prompting baselines by name: ``load_solver("s1", budget=2048)(writer, task, examples)``. One module each."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from thinklab.errors import ConfigError, did_you_mean
from thinklab.evaluation.solvers.base import Answer, Piece, Solver, Turn, Writer
from thinklab.evaluation.solvers.s1 import S1
from thinklab.evaluation.solvers.self_correct import SelfCorrect
from thinklab.evaluation.solvers.self_verify import SelfVerify
from thinklab.evaluation.solvers.zero_shot import ZeroShot

SOLVERS = {"zero_shot": ZeroShot, "self_verify": SelfVerify, "self_correct": SelfCorrect, "s1": S1}
COUNTS = {"rounds": 1, "budget": 1, "waits": 0, "answer_tokens": 1}
"""Integer options and their minimum values."""


def load_solver(name: str, **options: Any) -> Solver:
    """A solver with its options set.

    Raises:
        ConfigError: an unknown name or option, or a value of the wrong kind.
    """
    if name not in SOLVERS:
        raise ConfigError(f"there is no solver {name!r}{did_you_mean(name, SOLVERS)}; there are {', '.join(SOLVERS)}")
    known = {f.name: f for f in fields(SOLVERS[name])}
    for option, value in options.items():
        if option not in known:
            raise ConfigError(
                f"the solver {name!r} has no option {option!r}{did_you_mean(option, known)}; it takes "
                f"{', '.join(known) or 'none'}"
            )
        if option in COUNTS:
            endless = option == "waits" and value is None
            if not endless and (not isinstance(value, int) or isinstance(value, bool) or value < COUNTS[option]):
                raise ConfigError(
                    f"the solver {name!r}: {option} must be a whole number of at least {COUNTS[option]}, not {value!r}"
                )
        elif not isinstance(value, str):
            raise ConfigError(f"the solver {name!r}: {option} must be text, not {value!r}")
    return SOLVERS[name](**options)


__all__ = ["SOLVERS", "Answer", "Piece", "Solver", "Turn", "Writer", "load_solver"]
