"""A person or a policy decides which guidance is trained on."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from thinklab.review.queue import ReviewQueue as ReviewQueue

_HOME = {
    "ReviewQueue": "thinklab.review.queue",
}
__all__ = ["ReviewQueue"]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
