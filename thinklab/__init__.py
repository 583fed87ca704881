"""thinklab: teach a language model a way of thinking that it does not have, watch and edit it, and measure the result.

Names are loaded on first use, so that ``import thinklab`` is cheap.
"""

from importlib import import_module
from typing import Any

_NAMES = {
    "Behavior": "thinklab.behavior.behavior",
    "load_behavior": "thinklab.behavior.behavior",
    "Task": "thinklab.tasks.base",
    "load_task": "thinklab.tasks",
    "Teacher": "thinklab.teachers.protocols",
    "load_teacher": "thinklab.teachers",
    "Lab": "thinklab.lab.lab",
    "load_student": "thinklab.students",
    "ThinkTuningTrainer": "thinklab.trainer",
    "probe": "thinklab.experiment.probe_api",
}
__all__ = [
    "Behavior",
    "Lab",
    "Task",
    "Teacher",
    "ThinkTuningTrainer",
    "aas",
    "load_behavior",
    "load_student",
    "load_task",
    "load_teacher",
    "probe",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return import_module("importlib.metadata").version("thinklab")
    if name == "aas":
        return import_module("thinklab.aas")
    if name in _NAMES:
        return getattr(import_module(_NAMES[name]), name)
    raise AttributeError(f"module 'thinklab' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
