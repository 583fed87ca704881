"""What ``benchmarks/gpu_all.sh`` calls must exist: a script that is run once, on somebody's GPU, must work the first time."""

from __future__ import annotations

import importlib.util
import re

from tests.conftest import ROOT

SCRIPT = (ROOT / "benchmarks" / "gpu_all.sh").read_text("utf-8")


def test_every_file_and_plugin_that_it_names_exists():
    files = set(re.findall(r"(?:benchmarks|tests)/[\w/]+(?:\.py)?", SCRIPT)) - {"benchmarks/gpu_all"}
    assert len(files) >= 7 and not [name for name in files if not (ROOT / name).exists()]
    plugins = re.findall(r"pytest -p ([\w.]+)", SCRIPT)
    assert plugins and all(importlib.util.find_spec(name) for name in plugins), plugins


def test_the_docs_name_the_same_plugins():
    for page in ("docs/run-on-a-gpu.md", "tests/gpu/test_unsloth_on_a_gpu.py"):
        for name in re.findall(r"pytest -p ([\w.]+)", (ROOT / page).read_text("utf-8")):
            assert importlib.util.find_spec(name), f"{page}: {name}"
