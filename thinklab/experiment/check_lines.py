"""``check_lines``: judges and own functions of a config, checked while its lines are known; for ``load_config``."""

from __future__ import annotations

from collections.abc import Callable

from thinklab.config.experiment import Experiment
from thinklab.config.explain import Keys
from thinklab.config.hardware import check_device
from thinklab.config.own_parts import own_parts
from thinklab.errors import ConfigError, TaskError
from thinklab.experiment import run_judge
from thinklab.interop.own_code import find, find_function
from thinklab.tasks import load_task


def check_lines(config: Experiment, at: Callable[[Keys], str]) -> None:
    """``check_parts``, and keys that need CUDA where there is none.

    Raises:
        ConfigError: with the line of the config that names what is wrong.
    """
    check_device(config, at)
    check_parts(config, at)


def check_parts(config: Experiment, at: Callable[[Keys], str]) -> None:
    """Imports the own functions, so this is for commands that will call them.

    Raises:
        ThinklabError: with the line of the config that names what is wrong.
    """
    run_judge.check_lines(config, at)
    if config.student.kind == "unsloth":  # what the user's file imports must come after Unsloth; the run reports its errors
        return
    for path, name, what in own_parts(config.model_dump(mode="json")):
        try:
            (find if path[0] == "task" else find_function)(name, what, ConfigError)
        except ConfigError as error:
            raise ConfigError(f"{at(path)}: {error}") from None
    if ":" in config.task.name:  # a user's own function may take its time; the run calls it
        return
    try:
        load_task(config.task.name, path=config.task.path, **config.task.options)  # reads no question
    except TaskError as error:
        raise TaskError(f"{at(('task',))}: {error}") from None
