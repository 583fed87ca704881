"""An experiment step by step, with a person reviewing between the steps."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from thinklab.lab.lab import Lab as Lab

_HOME = {
    "Lab": "thinklab.lab.lab",
}
__all__ = ["Lab"]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
