"""``equal``: asks the math-verify process, from any thread, with a time limit; restarts it."""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import sys
import threading
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from thinklab.errors import TaskError

SECONDS = 3.5  # for one question; undecided after that counts as wrong
START_SECONDS = 120.0  # for importing math-verify, which may be slow on a busy machine


class _Worker:
    """One child process, started when first needed and again after it had to be killed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._owner = 0

    def ask(self, answer: str, gold: str) -> bool:
        with self._lock:
            process = self._running()
            assert process.stdin is not None, "opened as a pipe"
            try:
                process.stdin.write(json.dumps([answer, gold]) + "\n")
                process.stdin.flush()
            except OSError:  # it died between two requests
                self.stop()
                return False
            reply = self._line(process, SECONDS)
            if not reply:
                self.stop()
            return reply.strip() == "1"

    def _running(self) -> subprocess.Popen[str]:
        # After a fork, the parent owns the same pipes: two processes must not share one pair.
        if self._process is None or self._owner != os.getpid() or self._process.poll() is not None:
            self._process, self._owner = self._start(), os.getpid()
        return self._process

    def _start(self) -> subprocess.Popen[str]:
        script = Path(__file__).with_name("_math_worker.py")
        process = subprocess.Popen(
            [sys.executable, "-P", str(script)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            start_new_session=True,
        )  # Ctrl-C is for the parent; this one ends with its stdin
        assert process.stderr is not None, "opened as a pipe"
        if self._line(process, START_SECONDS).strip() != "ready":
            process.kill()
            why = process.stderr.read().strip().splitlines()
            raise TaskError(
                f"math-verify failed to start: {why[-1] if why else 'no message'}; try `pip install --force-reinstall math-verify`"
            )
        process.stderr.close()
        return process

    @staticmethod
    def _line(process: subprocess.Popen[str], seconds: float) -> str:
        """One line of its output; empty if it timed out and was killed."""
        assert process.stdout is not None, "opened as a pipe"
        timer = threading.Timer(seconds, process.kill)
        timer.start()
        try:
            return process.stdout.readline()
        finally:
            timer.cancel()

    def stop(self) -> None:
        process, self._process = self._process, None
        if process is not None and self._owner == os.getpid():
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                assert pipe is not None, "opened as a pipe"
                with suppress(OSError):
                    pipe.close()


_worker = _Worker()
atexit.register(_worker.stop)


@lru_cache(maxsize=50_000)
def equal(answer: str, gold: str) -> bool:
    """Whether math-verify considers the two LaTeX texts equal. False if undecided within ``SECONDS``.

    Cached, since the rollouts of one question mostly repeat a few answers.

    Raises:
        TaskError: when math-verify cannot be started at all.
    """
    return _worker.ask(answer, gold)
