"""One run from config to measurement: build, train, record, guard, probe."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from thinklab.experiment.train import run_experiment as run_experiment

_HOME = {
    "run_experiment": "thinklab.experiment.train",
}
__all__ = ["run_experiment"]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
