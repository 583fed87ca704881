"""What a user's terminal shows of a run, a probe, comments and an evaluation: no warning of another library about its own names."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import pytest

from tests.conftest import ROOT
from thinklab.students import TINY

TRAIN = [
    "train.steps=2",
    "train.questions=2",
    "train.samples=4",
    "train.checkpoint_every=1",
    "train.gradient_checkpointing=true",
    "probe.questions=6",
    "probe.every=0",
]
NOISE = re.compile(r"^.*(?:\w+Warning\b|deprecat|will be removed|no longer supported).*$", re.MULTILINE | re.IGNORECASE)

ONE_BY_ONE = """
import json, sys

for name, words in json.loads(sys.argv[1]).items():
    for stream in (sys.stdout, sys.stderr):
        print(f"== {name} ==", file=stream, flush=True)
    sys.argv = ["thinklab", *words]
    try:
        from thinklab.cli.app import main

        main()
    except SystemExit as end:
        if end.code:
            raise
"""


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    """All that the four commands print, one after the other in one new interpreter: what is said on import is said once."""
    folder = tmp_path_factory.mktemp("commands")
    (folder / "answers.jsonl").write_text(json.dumps({"question": "2+3?", "response": "5", "gold": "5"}) + "\n")
    (folder / "grid.yaml").write_text(
        "name: grid\nstudent: embedded\nruns: 1\nmax_new_tokens: 16\nthreads: 1\n"
        "benchmarks:\n  sums: {task: {name: sums, terms: [2, 2]}, questions: 4}\n"
        "methods:\n  zero-shot: {}\n  self-verify: {solver: {name: self_verify}}\nreference: zero-shot\nbehaviors: [self-check]\n"
    )
    commands = {
        "train": ["train", str(ROOT / "examples" / "demo-self-check.yaml"), "--out", "run", *TRAIN],
        "probe": ["probe", "run", "--questions", "4"],
        "guide": ["guide", "answers.jsonl", "--behavior", "self-check", "--teacher", "local", "-o", f"model={TINY}"],
        "eval": ["eval", "grid.yaml"],
    }
    done = subprocess.run(
        [sys.executable, "-c", ONE_BY_ONE, json.dumps(commands)],
        cwd=folder,
        capture_output=True,
        text=True,
        env={k: v for k, v in os.environ.items() if k != "PYTHONWARNINGS"} | {"PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr[-1500:]
    out, err = (re.split(r"^== \w+ ==\n", stream, flags=re.MULTILINE)[1:] for stream in (done.stdout, done.stderr))
    return {name: a + b for name, a, b in zip(commands, out, err, strict=True)}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["train", "probe", "guide", "eval"])
def test_no_warning_of_an_old_name_reaches_the_terminal(name, said):
    assert said[name].strip() and not NOISE.findall(said[name])
