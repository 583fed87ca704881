"""A tiny run and the command line in this process, for the tests of what can happen to a run folder."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass

CONFIG = """
name: small
task: {name: sums}
behaviors: [self-check]
teacher: {backend: scripted, rule: sums-check}
guidance: {gamma: 2, max_tokens: 60}
train: {steps: 4, questions: 2, samples: 4, max_prompt_tokens: 40, max_completion_tokens: 24, checkpoint_every: 2, threads: 1,
        seed: 5}
probe: {questions: 4, every: 0}
guards: {action: "off"}
"""
SLOW_RULES = """
import os, time
from pathlib import Path

def slow(request):
    Path(os.environ["ASKED"]).touch()
    time.sleep(120)
"""


@dataclass
class Done:
    returncode: int
    stdout: str
    stderr: str

    @property
    def errors(self) -> list[str]:
        return [line for line in self.stderr.splitlines() if line.startswith("error:")]

    @property
    def warnings(self) -> list[str]:
        return [line for line in self.stderr.splitlines() if line.startswith("warning:")]


def in_this_process(monkeypatch, capfd, *args) -> Done:
    """``thinklab ARGS``: an exception that is not an exit fails the test by itself."""
    from thinklab.cli.app import main

    monkeypatch.setattr(sys, "argv", ["thinklab", *map(str, args)])
    capfd.readouterr()
    code = 0
    try:
        main()
    except SystemExit as end:
        code = end.code or 0
    out, err = capfd.readouterr()
    assert "Traceback" not in out + err
    return Done(code, out, err)


def wait_until(true, process, seconds=120.0) -> None:
    deadline = time.time() + seconds
    while not true():
        assert process.poll() is None, process.communicate()
        assert time.time() < deadline
        time.sleep(0.002)


def lines(file) -> int:
    return file.read_bytes().count(b"\n") if file.exists() else 0
