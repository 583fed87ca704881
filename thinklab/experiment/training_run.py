"""``TrainingRun``: a run in a process of its own: config, state (new, started, finished), start or resume."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from thinklab.config.experiment import Experiment
from thinklab.config.load import load_config
from thinklab.errors import RunError
from thinklab.experiment.check_lines import check_lines
from thinklab.experiment.children import Process, spawn
from thinklab.experiment.forked_run import ForkedRun, can_fork
from thinklab.run.config_of_run import experiment_of
from thinklab.run.folder import RunFolder

State = Literal["finished", "started", "new"]


@dataclass(frozen=True)
class TrainingRun:
    """An ordinary run with overrides, so its folder can be resumed and reported on separately."""

    file: Path
    overrides: tuple[str, ...]
    folder: Path
    seed: int

    @property
    def name(self) -> str:
        """The path of its folder: ``BASE/ARM/seed-N``."""
        return "/".join(self.folder.parts[-3:])

    @property
    def log(self) -> Path:
        """What its process says."""
        return self.folder / "log.txt"

    def config(self) -> Experiment:
        return load_config(self.file, self.overrides, check=check_lines)

    def state(self) -> State:
        """``finished``: trained and probed. ``started``: to be resumed.

        Raises:
            RunError: if the folder contains a run with another config.
        """
        run = RunFolder(self.folder)
        if not run.config_file.exists():
            return "new"
        if experiment_of(run) != self.config():  # not the dicts: an older run lacks newer defaults
            raise RunError(
                f"{self.folder} contains a run with another config than {self.name} has now; move it away or choose another --out"
            )
        found, wanted = run.read_json("probe.json") or {}, self.config()
        stopped = found.get("stopped") and not found.get("failed")  # one whose teacher failed is not finished
        ended = found.get("steps", 0) >= wanted.train.steps or wanted.baseline is not None or stopped
        return "finished" if "after" in found and ended else "started"  # `thinklab probe` measures unfinished runs as well

    def start(self, resume: bool = False, fork: bool | None = None) -> Process:
        """Start or resume it in a separate process with one thread; its output goes to ``log``.

        Args:
            fork: from a server that has loaded the libraries; None: if that is safe.
        """
        if can_fork() if fork is None else fork:
            return ForkedRun(self.file, self.overrides, self.folder, resume, self.log)
        asked = {"file": str(self.file), "overrides": self.overrides, "folder": str(self.folder), "resume": resume}
        command = [sys.executable, "-m", "thinklab.experiment.child_run", json.dumps(asked)]
        path = os.pathsep.join(filter(None, sys.path))  # a notebook may have added to it
        return spawn(command, self.log, {"OMP_NUM_THREADS": "1", "PYTHONPATH": path, "NO_COLOR": "1"})
