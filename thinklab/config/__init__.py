"""An experiment in YAML, its profiles, and the files that ship with thinklab."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from thinklab.config.experiment import Experiment as Experiment
    from thinklab.config.load import load_config as load_config

_HOME = {
    "Experiment": "thinklab.config.experiment",
    "load_config": "thinklab.config.load",
}
__all__ = ["Experiment", "load_config"]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
