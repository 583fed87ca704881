"""One run of a study in a process forked from a server that has the libraries loaded already.

Loading torch, transformers, trl and peft costs some 8 seconds of processor time, as much as twenty steps of the embedded
student. Only where there is no GPU: CUDA does not survive a fork, and whether a library touched it on import cannot be known.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from thinklab.studies.study import Cell

GPU_FILES = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")


def can_fork() -> bool:
    return sys.platform == "linux" and not any(map(os.path.exists, GPU_FILES))


class Worker:
    """A cell of a study in a forked process, with the part of ``subprocess.Popen`` that a study uses."""

    def __init__(self, cell: Cell, resume: bool, log: Path):
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["thinklab.studies.preload"])
        self._process = context.Process(target=_train, args=(cell.file, list(cell.overrides), cell.folder, resume, str(log)))
        self._process.start()
        self.pid = self._process.pid

    def poll(self) -> int | None:
        return self._process.exitcode

    def terminate(self) -> None:
        self._process.terminate()

    def kill(self) -> None:
        self._process.kill()

    def wait(self) -> int:
        self._process.join()
        code = self._process.exitcode
        assert code is not None, "a joined process has an exit code"
        return code


def _train(file: Path, overrides: Sequence[str], folder: Path, resume: bool, log: str) -> None:
    _to_file(log)  # until the process ends, so that a traceback lands there too
    os.setsid()  # Ctrl-C in the terminal is for the study, which hands it on once; a second signal would end this at once
    from rich.console import Console

    from thinklab.experiment.train import check_teacher_lasted, train
    from thinklab.run.ending import exit_code

    console = Console(stderr=True, highlight=False)

    def say(text: str) -> None:
        console.print(text, markup=False, soft_wrap=True)

    sys.exit(exit_code(lambda: check_teacher_lasted(*train(file, overrides, folder, resume, say=say)), console))


def _to_file(path: str) -> None:
    """Send both standard streams, C code's included, to the end of ``path``."""
    sys.stdout.flush(), sys.stderr.flush()
    with open(path, "ab") as file:
        os.dup2(file.fileno(), 1), os.dup2(file.fileno(), 2)


@contextmanager
def silence():
    """Nothing that is written to the standard streams within is seen."""
    kept = os.dup(1), os.dup(2)
    _to_file(os.devnull)
    try:
        yield
    finally:
        sys.stdout.flush(), sys.stderr.flush()
        for number, old in zip((1, 2), kept, strict=True):
            os.dup2(old, number)
            os.close(old)
