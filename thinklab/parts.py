"""Ready-made parts of an experiment. Imports nothing, so that who only reads a config need not load PyTorch."""
from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass
class Parts:
    """Objects in place of what the config would load. None and empty: load it."""

    student: Any = None
    task: Any = None
    teacher: Any = None
    behaviors: dict[str, Any] = field(default_factory=dict)
