"""thinklab: teach a language model a way of thinking that it does not have, watch and edit it, and measure the result.

Names are loaded on first use, so that ``import thinklab`` is cheap.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # a type checker does not run __getattr__
    from thinklab import aas as aas
    from thinklab.behavior.behavior import Behavior as Behavior
    from thinklab.behavior.behavior import load_behavior as load_behavior
    from thinklab.experiment.probe_run import probe as probe
    from thinklab.lab.lab import Lab as Lab
    from thinklab.students import load_student as load_student
    from thinklab.tasks import load_task as load_task
    from thinklab.tasks.base import Task as Task
    from thinklab.teachers import load_teacher as load_teacher
    from thinklab.teachers.protocols import Teacher as Teacher
    from thinklab.trainer import ThinkTuningTrainer as ThinkTuningTrainer

    __version__: str

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
    "probe": "thinklab.experiment.probe_run",
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
