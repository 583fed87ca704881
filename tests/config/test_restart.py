"""The message after pip has replaced a package that the kernel has loaded."""

from __future__ import annotations

import sys
from types import ModuleType

import numpy
import pytest

from thinklab.config import restart


def test_nothing_is_said_where_memory_and_disk_agree():
    restart.stop_if_needed()


def test_a_replaced_package_stops_the_notebook_and_is_named_with_both_versions(monkeypatch):
    old = ModuleType("numpy")
    old.__version__ = "1.26.4"
    monkeypatch.setitem(sys.modules, "numpy", old)
    assert restart.replaced() == {"numpy": ("1.26.4", numpy.__version__)}
    with pytest.raises(restart.RestartNeeded) as stop:
        restart.stop_if_needed()
    said = str(stop.value)
    assert "RESTART THE KERNEL" in said and f"numpy 1.26.4 by {numpy.__version__}" in said and "from the top" in said


def test_torch_is_among_the_packages_that_are_watched(monkeypatch):
    import torch

    old = ModuleType("torch")
    old.__version__ = "2.1.0+cu121"
    monkeypatch.setitem(sys.modules, "torch", old)
    with pytest.raises(restart.RestartNeeded, match=f"torch 2.1.0.cu121 by {torch.__version__.split('+')[0]}"):
        restart.stop_if_needed()


def test_a_build_of_the_same_version_and_a_package_that_is_not_there_are_no_reason(monkeypatch):
    same, odd = ModuleType("numpy"), ModuleType("vllm")
    same.__version__, odd.__version__ = numpy.__version__ + "+local", "0.1"
    monkeypatch.setitem(sys.modules, "numpy", same)
    monkeypatch.setitem(sys.modules, "vllm", odd)
    assert restart.replaced() == {}
