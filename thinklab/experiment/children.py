"""Child processes that train: start one, watch several, stop them in order, and quote the log of one that failed.

    with Children() as children:
        children.add("aas, seed 0", spawn(command, log), log)
        while children.running:
            for child in children.ended():
                ...

A child has a session of its own, so Ctrl-C in the terminal does not reach it: leaving the block hands the stop on, once. The
child then finishes the generation at work and saves.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from thinklab.run import signals

POLL_S = 0.2


class Process(Protocol):
    """The part of ``subprocess.Popen`` that is used here."""

    @property
    def pid(self) -> int: ...

    def poll(self) -> int | None: ...

    def terminate(self) -> None: ...

    def kill(self) -> None: ...

    def wait(self, timeout: float | None = None) -> int | None: ...


def spawn(command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
    """Start ``command``; both of its output streams go to the end of ``log``.

    Args:
        environment: variables to set beside those of this process.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "ab") as output:
        return subprocess.Popen(
            command,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environment or {})},
            start_new_session=True,
        )


def last_words(log: Path) -> str:
    """The end of a log in one line."""
    found = log.read_text("utf-8", "replace").strip().splitlines() if log.exists() else []
    return f"{' / '.join(found[-2:]) or 'no output'} (whole log: {log})"


@dataclass
class Child:
    """A process by the name that a person knows it by."""

    name: str
    process: Process
    log: Path
    begun: float = field(default_factory=time.perf_counter)

    @property
    def code(self) -> int | None:
        """The exit code; None while it works."""
        return self.process.poll()

    @property
    def seconds(self) -> float:
        """Since it began."""
        return time.perf_counter() - self.begun

    @property
    def failure(self) -> str:
        """How it failed, in words, with the end of its log; empty when it did not."""
        return f"{self.name} ended with exit code {self.code}: {last_words(self.log)}" if self.code else ""


class Children:
    """The child processes of a ``with`` block: those that still work when the block is left are stopped.

    Args:
        patience_s: a child that was told to stop gets this long to save, then it is killed; None: as long as it takes.
        stopping: called with the number of children that are stopped, before the wait.
    """

    def __init__(self, patience_s: float | None = None, stopping: Callable[[int], None] = lambda number: None):
        self.running: list[Child] = []
        self._patience_s, self._stopping = patience_s, stopping

    def add(self, name: str, process: Process, log: Path) -> Child:
        child = Child(name, process, log)
        self.running.append(child)
        return child

    def ended(self) -> list[Child]:
        """Wait a moment (``POLL_S``), then give each child that has ended since the last call."""
        time.sleep(POLL_S)
        done = [child for child in self.running if child.code is not None]
        self.running = [child for child in self.running if child not in done]
        return done

    def __enter__(self) -> Children:
        return self

    def __exit__(self, *_: object) -> None:
        if self.running:
            self._stopping(len(self.running))
        stop([child.process for child in self.running], self._patience_s)


def stop(processes: Sequence[Process], patience_s: float | None = None) -> None:
    """Let each finish the generation at work and save; a second signal to this process ends them and it at once."""
    working = [process for process in processes if process.poll() is None]

    def kill() -> None:
        for process in working:
            process.kill()

    signals.at_once.append(kill)
    try:
        for process in working:
            process.terminate()
        for process in working:
            try:
                process.wait(patience_s)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
    except BaseException:
        kill()
        raise
    finally:
        signals.at_once.remove(kill)
