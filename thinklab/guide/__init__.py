"""Stage 2: choose rollouts, ask the teacher, parse its reply, splice it on."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from thinklab.config.schedule import Schedule as Schedule
    from thinklab.guide.guide import Guide as Guide
    from thinklab.guide.guide import Rejected as Rejected
    from thinklab.guide.guide import parse_reply as parse_reply

_HOME = {
    "Guide": "thinklab.guide.guide",
    "Schedule": "thinklab.config.schedule",
    "parse_reply": "thinklab.guide.guide",
    "Rejected": "thinklab.guide.guide",
}
__all__ = ["Guide", "Rejected", "Schedule", "parse_reply"]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
