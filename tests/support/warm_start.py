"""``thinklab ARGS``, or a notebook's kernel, in a process of its own, forked from a server that has the libraries loaded already.

Loading them costs some 8 seconds of processor time at every start, which is more than most tests need. The server is the one that a
study forks its runs from (``thinklab/experiment/forked_run.py``), one for each test process. ``fresh=True`` begins a new interpreter,
as a shell does.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TextIO

from thinklab.experiment.forked_run import can_fork

THINKLAB = "thinklab.cli.app:main"
CALL = "import sys; from importlib import import_module as i; m, f = sys.argv.pop(1).split(':'); getattr(i(m), f)()"


class Forked:
    """The part of ``subprocess.Popen`` that tests and ``jupyter_client`` use, its output as text.

    Args:
        entry: what to call there, ``module:function``.
        words: its ``sys.argv``.
    """

    stdin = None

    def __init__(self, entry: str, words: Sequence[str], environment: Mapping[str, str], folder: Path):
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["thinklab.experiment.preload"])  # as forked_run does: it may have begun the server
        (out, to_out), (err, to_err) = context.Pipe(duplex=False), context.Pipe(duplex=False)
        self._process = context.Process(target=_main, args=(entry, [*words], dict(environment), str(folder), to_out, to_err))
        self._process.start()
        atexit.register(self.kill)  # a test that failed may have left it at work, and multiprocessing waits for its children
        with suppress(ProcessLookupError):
            while os.getpgid(self._process.pid) != self._process.pid:  # who signals its group must not signal ours
                time.sleep(0.001)
        to_out.close(), to_err.close()
        self.stdout, self.stderr = _text(out), _text(err)
        self.args, self.pid = [*words], self._process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0.0)
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """What is left of both streams, once it has ended. They are short: neither fills its pipe."""
        self.wait(timeout)
        with self.stdout, self.stderr:
            return self.stdout.read(), self.stderr.read()


def start(
    *args: object, entry: str = THINKLAB, cwd: Path | str = ".", fresh: bool = False, **env: object
) -> Forked | subprocess.Popen[str]:
    """``thinklab ARGS``, or another ``entry`` with these arguments, as the leader of a group of its own, as a shell starts it."""
    words, environment = [*map(str, args)], {**os.environ, **{k: str(v) for k, v in env.items()}}
    if can_fork() and not fresh:
        return Forked(entry, ["thinklab", *words], environment, Path(cwd).absolute())
    return subprocess.Popen(
        [sys.executable, *(("-m", "thinklab") if entry == THINKLAB else ("-c", CALL, entry)), *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        cwd=cwd,
        env=environment,
    )


def run_to_end(*args: object, cwd: Path | str = ".", **env: object) -> tuple[str, str]:
    """What ``thinklab ARGS`` has printed; it must end well."""
    process = start(*args, cwd=cwd, **env)
    out, err = process.communicate(timeout=600)
    assert process.returncode == 0, err
    return out, err


def warm_kernels(monkeypatch: Any) -> None:
    """Kernels that ``jupyter_client`` launches are forked as well."""
    from jupyter_client.provisioning import local_provisioner

    def launch(command: Sequence[str], env: Mapping[str, str], cwd: str, **_: Any) -> Forked:
        environment = {k: v for k, v in env.items() if k != "JPY_PARENT_PID"}  # its parent is the server
        words = command[command.index("ipykernel_launcher") :]
        return Forked("ipykernel.kernelapp:launch_new_instance", words, environment, Path(cwd))

    if can_fork():
        monkeypatch.setattr(local_provisioner, "launch_kernel", launch)


def _text(connection: Connection) -> TextIO:
    """The reading end of a pipe as a text file."""
    file = os.fdopen(os.dup(connection.fileno()), "r", encoding="utf-8", errors="replace")
    connection.close()
    return file


def _main(entry: str, words: list[str], environment: dict[str, str], folder: str, out: Connection, err: Connection) -> None:
    """In the forked process: what a new interpreter would find, then ``entry``."""
    os.setsid()
    for connection, number in ((out, 1), (err, 2)):
        os.dup2(connection.fileno(), number)
        connection.close()
    sys.stdout, sys.stderr = os.fdopen(1, "w", closefd=False), os.fdopen(2, "w", buffering=1, closefd=False)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.path[:0] = [p for p in environment.get("PYTHONPATH", "").split(os.pathsep) if p]
    sys.argv = words
    module, name = entry.split(":")
    try:
        getattr(import_module(module), name)()
    finally:
        atexit._run_exitfuncs()  # a forked process leaves them out
