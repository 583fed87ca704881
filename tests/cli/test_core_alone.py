"""The core alone: every command and the Lab can be imported where no package of an extra is installed."""

from __future__ import annotations

import subprocess
import sys

CODE = """
import sys
from importlib import import_module
from importlib.machinery import PathFinder

EXTRAS = {"anthropic", "openai", "anywidget", "ipywidgets", "jupyterlab", "IPython", "starlette", "uvicorn", "lm_eval", "vllm",
          "unsloth", "bitsandbytes", "tensorboard", "trackio"}


class Core(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.partition(".")[0] in EXTRAS else PathFinder.find_spec(name, path, target)


sys.meta_path[sys.meta_path.index(PathFinder)] = Core
for module in ("cli.app", "experiment.train", "experiment.doctor", "experiment.probe_run", "studies.demo", "studies.study", "lab.lab",
               "export.export", "evaluation.grid", "guide.guide", "reports.run_page"):
    import_module(f"thinklab.{module}")
from thinklab import load_teacher

for name in ("anthropic", "openai"):
    try:
        load_teacher(name, model="m")
    except Exception as error:
        print(error)
assert not EXTRAS & set(sys.modules), EXTRAS & set(sys.modules)
"""


def test_nothing_of_an_extra_is_needed():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count("needs the package") == 2
