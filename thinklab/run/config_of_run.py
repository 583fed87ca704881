"""``experiment_of``: the config of a run folder as an ``Experiment``; ``run_of`` a path; ``differences``."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from thinklab.config import yaml_model
from thinklab.config.experiment import Experiment
from thinklab.config.resolved import document_of, resolved, version_of
from thinklab.errors import ConfigError, RunError
from thinklab.run.folder import RunFolder, versions


def experiment_of(run: RunFolder) -> Experiment:
    """The config that ``run`` was started with.

    Raises:
        RunError: if its ``config.yaml`` is invalid, with one line per error that names file and line.

    Warns:
        RunWarning: about renamed keys.
    """
    document = document_of(run.config_file, run.resolved())
    try:
        return yaml_model.validate(Experiment, document, ConfigError)
    except ConfigError as error:
        raise of_a_run(error, run) from None


def of_a_run(error: ConfigError, run: RunFolder) -> RunError:
    """``error`` about the config of ``run``, with what to do."""
    then, now = version_of(run.resolved()), versions().get("thinklab", "?")
    what = (
        f"the run was started with thinklab {then}, and this is {now}: resume it with that version"
        if then != now
        else "the file was changed after the run was started: restore it"
    )
    return RunError(f"{error}; {what}, or start a new run")


def run_of(path: Path) -> RunFolder | None:
    """The run that ``path`` (a run folder, or its ``config.yaml``) belongs to; None for anything else."""
    if os.path.isdir(path):  # False, not an error, for a name that is too long for a file
        run = RunFolder(path)
        return run if os.path.isfile(run.config_file) else None
    return RunFolder(path.parent) if resolved(path) else None


def differences(old: Any, new: Any, path: str = "") -> list[tuple[str, Any, Any]]:
    """``(dotted key, old value, new value)`` of every leaf that differs between two plain configs."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        return [
            found
            for key in dict.fromkeys((*old, *new))
            for found in differences(old.get(key), new.get(key), f"{path}.{key}" if path else str(key))
        ]
    return [] if old == new else [(path, old, new)]
