"""``ReadyMade``: Python objects in place of what a config names; a run records them and requires them again.

Imports nothing heavy, so that reading a config does not load PyTorch.

An object that was passed from Python is not in the config. A run therefore records in ``config.yaml`` which of its parts were
ready-made (``ready_made: {task: Rows}``), and opening it again requires the same objects: what the config names in their place
(often a default) may be a different task or student.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from thinklab.errors import RunError

NAMES = ("student", "task", "teacher", "judge")


@dataclass
class ReadyMade:
    """Objects that replace what the config would load. None or empty: load from the config."""

    student: Any = None
    task: Any = None
    teacher: Any = None
    judge: Any = None
    """A ``Teacher`` that answers for judge detectors."""
    behaviors: dict[str, Any] = field(default_factory=dict)
    run_judge: Any = None
    """The ``RunJudge`` of another run, whose caps, verdicts, and files this one shares."""

    def ready_made(self, used: Iterable[str] = NAMES) -> dict[str, str]:
        """For ``config.yaml``: ``{part: class of the object}`` of the parts that are ``used``, and the names of behaviors."""
        found = {name: type(part).__name__ for name in used if (part := getattr(self, name)) is not None}
        return {**found, **({"behaviors": ", ".join(self.behaviors)} if self.behaviors else {})}


def check_ready_made(
    path: Any, resolved: Mapping[str, Any], parts: ReadyMade, needed: Iterable[str] = ("student", "task")
) -> None:
    """Refuse to open a run without the objects that it was started with, or with objects that replace what its config names.

    Args:
        resolved: the run's ``config.yaml``. A config older than this record passes.
        needed: the parts that will be used now.

    Raises:
        RunError: naming the parts and how to pass them.
    """
    if "ready_made" not in resolved:
        return
    there, needed = resolved["ready_made"], tuple(needed)
    if missing := [name for name in needed if name in there and getattr(parts, name) is None]:
        what = " and ".join(f"{name} ({there[name]})" for name in missing)
        given = ", ".join(f"{name}=..." for name in missing)
        raise RunError(
            f"{path} was started with a ready-made {what}: an object from Python, which its config.yaml cannot load "
            f"again. Pass it again: thinklab.probe({str(path)!r}, {given}) measures the run, "
            f"Lab(out={str(path)!r}, {given}) resumes it"
        )
    if extra := [n for n in ("student", "task") if n in needed and n not in there and getattr(parts, n) is not None]:
        raise RunError(
            f"{path} was started with the {' and '.join(extra)} of its config.yaml, not with an object from Python; "
            f"leave {' and '.join(f'{n}=' for n in extra)} out, or start a new run"
        )
