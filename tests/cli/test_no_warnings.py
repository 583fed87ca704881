"""What a file or a terminal shows of a run, a probe, comments and an evaluation: whole lines of progress in a file, a bar on a
terminal, and neither bars nor warnings of other libraries."""

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
import json, os, pty, sys

def on_a_terminal(words):  # forked: the libraries are loaded
    pid, master = pty.fork()
    if pid == 0:
        from rich.console import Console
        from thinklab.cli import app

        app.console = Console(stderr=True, highlight=False)  # the one of the import has seen that stderr is a file
        sys.argv = ["thinklab", *words]
        try:
            app.main()
        except SystemExit as end:
            os._exit(end.code or 0)
    shown = b""
    while True:
        try:
            data = os.read(master, 65536)
        except OSError:
            break
        if not data:
            break
        shown += data
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0, shown.decode()
    open("terminal.txt", "wb").write(shown)

for name, words in json.loads(sys.argv[1]).items():
    for stream in (sys.stdout, sys.stderr):
        print(f"== {name} ==", file=stream, flush=True)
    if name == "terminal":
        on_a_terminal(words)
        continue
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
        "terminal": ["train", str(ROOT / "examples" / "demo-self-check.yaml"), "--out", "other", *TRAIN],
    }
    done = subprocess.run(
        [sys.executable, "-c", ONE_BY_ONE, json.dumps(commands)],
        cwd=folder,
        capture_output=True,
        env={k: v for k, v in os.environ.items() if k != "PYTHONWARNINGS"}
        | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "TERM": "xterm", "COLUMNS": "120"},
    )
    assert done.returncode == 0, done.stderr.decode()[-1500:]
    out, err = (
        re.split(r"^== \w+ ==\n", stream.decode(), flags=re.MULTILINE)[1:] for stream in (done.stdout, done.stderr)
    )  # bytes: text would lose each \r
    found = {name: a + b for name, a, b in zip(commands, out, err, strict=True)}
    return found | {"terminal": (folder / "terminal.txt").read_bytes().decode()}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["train", "probe", "guide", "eval", "terminal"])
def test_no_warning_of_an_old_name_reaches_the_terminal(name, said):
    assert said[name].strip() and not NOISE.findall(said[name])


@pytest.mark.slow
def test_a_file_has_whole_lines_and_no_bars(said):
    for name in ("train", "probe", "guide", "eval"):  # guide loads a model whose weights transformers would show a bar for
        text = said[name]
        assert "\r" not in text and "\x1b" not in text, name
        assert not re.search(r"Loading weights|it/s|\d%\|", text), name
    steps = [line for line in said["train"].splitlines() if re.match(r"demo-self-check: step \d+/2, 0:\d\d so far", line)]
    assert len(steps) == 2 and "step 2/2" in steps[-1] and "accuracy" in steps[-1]
    assert re.search(r"^guide, \S+: answer 1/1, ", said["guide"], re.MULTILINE)


@pytest.mark.slow
def test_a_terminal_has_one_line_that_is_drawn_again(said):
    text = said["terminal"]
    assert "Loading weights" not in text and "it/s" not in text and "so far" not in text
    drawn = re.findall(r"demo-self-check +\S* *(\d)/2", re.sub(r"\x1b\[[\d;?]*[a-zA-Z]", "", text))
    assert len(drawn) > 1 and drawn[-1] == "2"  # drawn as the first step ends, and again to the end
    assert len(re.findall(r"\r(?!\n)|\x1b\[1A", text)) >= len(drawn) - 1  # each time in the place of the one before
