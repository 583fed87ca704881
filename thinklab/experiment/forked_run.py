"""``ForkedRun``: a training run forked from a server that has already loaded torch, transformers, and TRL.

Loading torch, transformers, trl, and peft takes about 8 CPU seconds, as much as twenty steps of the embedded
student. Only without a GPU: CUDA does not survive a fork, and it is unknown whether a library initialized it on import.
"""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import contextmanager
from pathlib import Path

from thinklab.experiment.child_run import train_here

GPU_FILES = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")


def can_fork() -> bool:
    return sys.platform == "linux" and not any(map(os.path.exists, GPU_FILES))


class ForkedRun:
    """``train_here`` in a forked process, with the part of ``subprocess.Popen`` that ``children.Process`` names."""

    def __init__(self, file: Path, overrides: Sequence[str], folder: Path, resume: bool, log: Path):
        log.parent.mkdir(parents=True, exist_ok=True)
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["thinklab.experiment.preload"])
        self._process = context.Process(target=_train, args=(file, list(overrides), folder, resume, str(log)))
        self._process.start()
        assert self._process.pid is not None  # it has been started
        self.pid: int = self._process.pid

    def poll(self) -> int | None:
        return self._process.exitcode

    def terminate(self) -> None:
        self._process.terminate()

    def kill(self) -> None:
        self._process.kill()

    def wait(self, timeout: float | None = None) -> int | None:
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired("a forked run", timeout or 0.0)
        return self._process.exitcode


def _train(file: Path, overrides: Sequence[str], folder: Path, resume: bool, log: str) -> None:
    _to_file(log)  # until the process ends, so that a traceback also goes there
    os.setsid()  # Ctrl-C in the terminal is for the parent, which forwards it once; a second signal would end this at once
    sys.exit(train_here(file, overrides, folder, resume))


def _to_file(path: str) -> None:
    """Append both standard streams, including those of C code, to ``path``."""
    sys.stdout.flush(), sys.stderr.flush()
    with open(path, "ab") as file:
        os.dup2(file.fileno(), 1), os.dup2(file.fileno(), 2)


@contextmanager
def silence():
    """Suppresses output to the standard streams inside the block."""
    kept = os.dup(1), os.dup(2)
    _to_file(os.devnull)
    try:
        yield
    finally:
        sys.stdout.flush(), sys.stderr.flush()
        for number, old in zip((1, 2), kept, strict=True):
            os.dup2(old, number)
            os.close(old)
