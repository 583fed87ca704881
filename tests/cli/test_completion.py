"""Completion in bash as ``thinklab --install-completion`` sets it up: commands, behaviors, configs, and files."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from thinklab.behavior.behavior import list_behaviors

BASH = shutil.which("bash")
COMMAND = Path(sys.executable).parent / "thinklab"
CASES = {
    "thinklab tra": ["train"],
    "thinklab behaviors li": ["lint", "list"],
    "thinklab behaviors show self-c": ["self-check", "self-conflict", "self-consultancy", "self-critique"],
    "thinklab demo --behavior thala": ["thalapathy-vijay"],
    "thinklab demo --method a": ["aas", "authors"],
    "thinklab train gsm": ["gsm8k"],
    "thinklab doctor --profile 8": ["80gb"],
    "thinklab eval tiny-g": ["tiny-grid"],
    "thinklab guide answers.jsonl --teacher scr": ["scripted"],
    "thinklab train --resu": ["--resume"],
}


@pytest.fixture(scope="module")
def completed(tmp_path_factory):
    """What bash completes for each of ``CASES`` after ``thinklab --install-completion``, all in one bash."""
    if BASH is None or not COMMAND.exists():
        pytest.skip("needs bash and the installed command")
    home = tmp_path_factory.mktemp("home")
    lines = []
    for case in CASES:
        words = case.split()
        quoted = " ".join(f"'{w}'" for w in words)
        lines.append(
            f"COMP_WORDS=({quoted}); COMP_CWORD={len(words) - 1}; COMPREPLY=(); "
            '_thinklab_completion thinklab; echo "${COMPREPLY[*]}"'
        )
    script = "thinklab --install-completion >installed.txt 2>&1\n. ~/.bashrc\ncomplete -p thinklab\n" + "\n".join(lines)
    environment = {"HOME": str(home), "PATH": f"{COMMAND.parent}{os.pathsep}{os.environ['PATH']}", "TERM": "dumb"}
    done = subprocess.run([BASH, "-c", script], cwd=home, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr + (home / "installed.txt").read_text()
    registered, *answers = done.stdout.splitlines()
    return registered, dict(zip(CASES, answers, strict=True))


def test_it_completes_commands_options_and_names(completed):
    assert {case: sorted(answer.split()) for case, answer in completed[1].items()} == CASES
    assert set(CASES["thinklab behaviors show self-c"]) <= set(list_behaviors())


def test_where_no_name_fits_bash_completes_files(completed):
    assert "-o default" in completed[0]
