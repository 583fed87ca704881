"""Progress where nobody watches: whole lines, few of them, and no bars of other libraries."""

from __future__ import annotations

import sys

import pytest
from transformers.utils import logging

from thinklab.interop import upstream_bars
from thinklab.reports import console
from thinklab.reports.console import PlainProgress


@pytest.fixture
def clock(monkeypatch):
    """``clock.now`` is the time."""

    class Clock:
        now = 0.0

    monkeypatch.setattr(console.time, "monotonic", lambda: Clock.now)
    return Clock


def test_thousands_of_steps_are_fifty_lines_with_the_first_and_the_last(clock):
    plain, lines = PlainProgress("run", 5000), []
    for step in range(1, 5001):
        clock.now = 10 + step * 0.5
        lines += filter(None, [plain.line(step, "accuracy 0.50")])
    assert len(lines) <= 52 and all("\r" not in line and "\n" not in line for line in lines)
    assert lines[0] == "run: step 1/5000, 0:10 so far  accuracy 0.50"  # loading took the ten seconds: no speed is known yet
    assert lines[-1] == "run: step 5000/5000, 41:50 so far  accuracy 0.50"
    half = next(line for line in lines if "step 2500/" in line)
    assert half == "run: step 2500/5000, 21:00 so far, 20:50 left  accuracy 0.50"


def test_a_slow_run_speaks_once_a_minute(clock):
    plain = PlainProgress("", 1000)
    said = []
    for step in range(1, 20):
        clock.now = step * 40.0
        said.append(bool(plain.line(step)))
    assert said == [True, *[False, True] * 9]


def test_a_resumed_run_knows_its_own_speed(clock):
    plain = PlainProgress("run", 100)
    plain.line(51)
    clock.now = 100.0
    assert plain.line(76) == "run: step 76/100, 1:40 so far, 1:36 left"


def test_nothing_is_said_twice(clock):
    plain = PlainProgress("", 10)
    assert plain.line(0) == "" and plain.line(1) and plain.line(1) == ""


@pytest.mark.parametrize("watched", [True, False])
def test_a_model_loads_without_bars_where_nobody_watches(monkeypatch, watched):
    """Also in a process forked from one that has bars, as a study's runs are."""
    monkeypatch.setattr(upstream_bars, "someone_watches", lambda: watched)
    before = logging.is_progress_bar_enabled()
    logging.enable_progress_bar()
    try:
        with upstream_bars.loading_bars():
            assert logging.is_progress_bar_enabled() == watched
        assert logging.is_progress_bar_enabled()
        with upstream_bars.loading_bars(False):
            assert not logging.is_progress_bar_enabled()
    finally:
        (logging.enable_progress_bar if before else logging.disable_progress_bar)()


def test_a_kernel_is_watched_and_a_file_is_not(monkeypatch):
    monkeypatch.setattr(sys, "stderr", open("/dev/null", "w"))  # noqa: SIM115
    monkeypatch.setitem(sys.modules, "IPython", None)
    assert not upstream_bars.someone_watches()
    kernel = type("IPython", (), {"get_ipython": staticmethod(lambda: type("Shell", (), {"kernel": object()})())})
    monkeypatch.setitem(sys.modules, "IPython", kernel)
    assert upstream_bars.someone_watches()
