"""The message after pip has replaced a package that the kernel has loaded."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType

import numpy
import pytest

from thinklab.config import restart


def test_nothing_is_said_where_memory_and_disk_agree(capsys):
    assert not restart.say_if_needed() and capsys.readouterr().out == ""


def test_a_replaced_package_is_named_with_both_versions(monkeypatch, capsys):
    old = ModuleType("numpy")
    old.__version__ = "1.26.4"
    monkeypatch.setitem(sys.modules, "numpy", old)
    assert restart.replaced() == {"numpy": ("1.26.4", numpy.__version__)}
    assert restart.say_if_needed()
    said = capsys.readouterr().out
    assert "RESTART THE KERNEL" in said and f"numpy 1.26.4 by {numpy.__version__}" in said and "from the top" in said


def test_a_build_of_the_same_version_and_a_package_that_is_not_there_are_no_reason(monkeypatch):
    same, odd = ModuleType("numpy"), ModuleType("vllm")
    same.__version__, odd.__version__ = numpy.__version__ + "+local", "0.1"
    monkeypatch.setitem(sys.modules, "numpy", same)
    monkeypatch.setitem(sys.modules, "vllm", odd)
    assert restart.replaced() == {}


@pytest.mark.parametrize("path", sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb")), ids=lambda p: p.stem)
def test_every_notebook_asks_after_its_install(path):
    cells = json.loads(path.read_text())["cells"]
    install = next("".join(c["source"]) for c in cells if c["cell_type"] == "code")
    after = install.split("%pip install", 1)[1]
    assert (
        "from thinklab.config.restart import say_if_needed" in after
        and "say_if_needed()" in after.split("import say_if_needed", 1)[1]
    )
