"""A behavior: its YAML file, the prompt that asks a teacher for it, its detector, its lint."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from thinklab.behavior.behavior import Behavior as Behavior
    from thinklab.behavior.behavior import list_behaviors as list_behaviors
    from thinklab.behavior.behavior import load_behavior as load_behavior

_HOME = {
    "Behavior": "thinklab.behavior.behavior",
    "load_behavior": "thinklab.behavior.behavior",
    "list_behaviors": "thinklab.behavior.behavior",
}
__all__ = ["Behavior", "list_behaviors", "load_behavior"]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
