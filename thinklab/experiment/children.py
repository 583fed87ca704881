"""Child processes: ``spawn``, ``Child``, ``Children``, ``stop``, and the last words of a failed one's log.

    with Children() as children:
        children.add("aas, seed 0", spawn(command, log), log)
        while children.running:
            for child in children.ended():
                ...

A child has its own session, so Ctrl-C in the terminal does not reach it: leaving the block forwards the stop once. The child
then finishes the current generation and saves.
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
    """The used subset of ``subprocess.Popen``."""

    @property
    def pid(self) -> int: ...

    def poll(self) -> int | None: ...

    def terminate(self) -> None: ...

    def kill(self) -> None: ...

    def wait(self, timeout: float | None = None) -> int | None: ...


def spawn(command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
    """Start ``command``; both output streams are appended to ``log``.

    Args:
        environment: variables to set in addition to those of this process.
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
    """A process with a display name."""

    name: str
    process: Process
    log: Path
    started: float = field(default_factory=time.perf_counter)

    @property
    def code(self) -> int | None:
        """The exit code; None while it runs."""
        return self.process.poll()

    @property
    def seconds(self) -> float:
        """Seconds since it started."""
        return time.perf_counter() - self.started

    @property
    def failure(self) -> str:
        """How it failed, with the end of its log; empty if it did not fail."""
        return f"{self.name} ended with exit code {self.code}: {last_words(self.log)}" if self.code else ""


class Children:
    """The child processes of a ``with`` block: those still running when the block is left are stopped.

    Args:
        patience_s: how long a stopped child may take to save before it is killed; None: no limit.
        stopping: called with the number of stopped children, before the wait.
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
    """Let each finish the current generation and save; a second signal to this process ends all of them at once."""
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
