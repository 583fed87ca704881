"""``pip install thinklab`` on a server: the wheel with the core's packages alone, in an empty folder, runs, and names the extras."""

from __future__ import annotations

import json
import os
import subprocess

import pytest

from tests.support.installed_wheel import install_wheel
from thinklab import __version__

pytestmark = pytest.mark.slow
EXTRAS = ("jupyterlab", "ipywidgets", "anywidget", "starlette", "uvicorn", "openai", "bitsandbytes", "vllm", "unsloth", "pytest")


@pytest.fixture(scope="module")
def core(tmp_path_factory):
    """``run(*words)``: the exit code and what is printed, in an empty folder."""
    base = tmp_path_factory.mktemp("core")
    python = install_wheel(base, core_only=True)
    folder = base / "empty"
    folder.mkdir()
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "ANTHROPIC", "OPENAI", "THINKLAB"))}
    environment |= {"HOME": str(base), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "COLUMNS": "160"}

    def run(*words, command="thinklab"):
        call = [python.parent / command, *words]
        done = subprocess.run(call, cwd=folder, env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        assert "Traceback" not in done.stderr, done.stderr[-3000:]
        return done.returncode, done.stdout + done.stderr

    run.folder = folder
    return run


def test_the_environment_has_the_core_alone(core):
    code = f"import importlib.util as u, torch, trl; print([n for n in {EXTRAS} if u.find_spec(n)])"
    assert core("-c", code, command="python") == (0, "[]\n")


def test_it_starts_and_finds_nothing_that_would_stop_a_run(core):
    assert core("--version") == (0, f"thinklab {__version__}\n")
    code, said = core("doctor", "--quick")
    assert code == 0 and "No problem found that would stop a run" in said, said


def test_the_demo_runs(core):
    code, said = core("demo", "--steps", "2", "--questions", "6")
    assert code == 0 and "Report: runs/demo/report.html" in said, said
    assert (core.folder / "runs" / "demo" / "report.html").stat().st_size > 100_000


def test_what_needs_an_extra_says_which(core):
    code, said = core("view", "runs")
    assert code == 2 and said.count("\n") == 1 and "pip install 'thinklab[view]'" in said, said
    code, said = core("teachers", "--json")
    needs = {need["what"]: need for part in json.loads(said) if part["name"] == "openai" for need in part["needs"]}
    assert needs["package openai"]["present"] is False and needs["package openai"]["fix"].startswith("pip install 'thinklab[")
    words = ["train", "demo-self-check", "teacher.backend=openai", "teacher.model=m"]
    code, said = core(*words, "teacher.base_url=http://127.0.0.1:9/v1", "--out", "never")
    assert code in (1, 2) and "pip install 'thinklab[" in said and not (core.folder / "never").exists(), said
