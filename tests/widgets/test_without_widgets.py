"""Without the extra ``notebook``: everything but the live views works, and those say what to install."""

from __future__ import annotations

import subprocess
import sys
import tomllib

import pytest

from tests.conftest import ROOT

WITHOUT = """
import importlib.abc, sys
class Missing(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"anywidget", "ipywidgets", "jupyterlab", "notebook"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name.split(".")[0])
sys.meta_path.insert(0, Missing())
"""


def python(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", WITHOUT + code, *arguments], capture_output=True, text=True, cwd=ROOT)


def test_jupyterlab_and_widgets_are_an_extra_and_come_with_the_developers():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    core, extras = " ".join(project["dependencies"]), project["optional-dependencies"]
    assert not any(name in core for name in ("jupyterlab", "ipywidgets", "anywidget"))
    assert set(extras["notebook"]) <= set(extras["dev"]) and any(x.startswith("jupyterlab") for x in extras["notebook"])
    assert any(x.startswith("anywidget") for x in extras["view"]), "the viewer's review is the notebook's pane"


@pytest.mark.parametrize(
    "name, library", [("ReviewPane", "anywidget"), ("BehaviorStudio", "anywidget"), ("AasExplorer", "ipywidgets")]
)
def test_a_view_that_needs_them_names_the_extra(name, library):
    asked = f"from thinklab.errors import ThinklabError\ntry:\n    from thinklab.widgets import {name}"
    done = python(f"{asked}\nexcept ThinklabError as error:\n    print(error)")
    assert done.returncode == 0, done.stderr
    assert (
        f"{name} needs {library}" in done.stdout
        and "pip install 'thinklab[notebook]'" in done.stdout
        and done.stdout.count("\n") == 1
    )


@pytest.mark.slow
def test_a_whole_run_and_its_static_views_work_without_them(tmp_path):
    code = """
from tests.lab.conftest import SMALL
from thinklab import Lab
with Lab(SMALL, out=sys.argv[1], steps=2) as lab:
    batch = lab.rollout()
    lab.guide(batch)
    print(lab.review(batch))
    lab.update(batch, auto="accept")
    lab.train()
    lab.probe()
    for view in (lab.tokens(), lab.side_by_side(), lab.dashboard(), lab.losses(), lab.report()):
        print(type(view).__name__)
"""
    done = python(code, str(tmp_path / "run"))
    assert done.returncode == 0, done.stderr
    assert "4 guided rollouts" in done.stdout and done.stdout.splitlines()[-5:] == [
        "Html",
        "Html",
        "Figure",
        "LossTable",
        "PosixPath",
    ]
