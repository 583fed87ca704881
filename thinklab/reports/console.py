"""The terminal: the progress line of a run (``progress``), and ``probe_table``.

Views of records.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import zip_longest
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Column, Table

from thinklab.probing.table import HEAD, TITLE, probe_rows

LINES = 50
"""Lines of a whole run where the output is not a terminal, at most, and one more for each minute without a line."""
SILENCE_S = 60.0


def bars(console: Console) -> Progress:
    """Progress bars followed by running rates."""
    rest = Column(ratio=1, no_wrap=True, overflow="ellipsis")  # a long text is shortened, not the bar
    return Progress(
        TextColumn("{task.description:<22}"),
        BarColumn(bar_width=12),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[rates]}", table_column=rest),
        console=console,
        expand=True,
    )


def rates(line: Mapping[str, Any]) -> str:
    """``accuracy .41  behavior .03  guided .25`` from one line of metrics; for unguided rollouts."""
    shown = []
    for key, name in (("own/accuracy", "accuracy"), ("own/behavior", "behavior"), ("guided_fraction", "guided")):
        if line.get(key) is not None:
            shown.append(f"{name} {line[key]:.2f}")
    if line.get("teacher_summary"):
        shown.append(line["teacher_summary"])
    return "  ".join(shown)


class PlainProgress:
    """Progress in a file: whole lines for the first and the last step, for every fiftieth of the steps, and once a minute."""

    def __init__(self, name: str, total: int, unit: str = "step"):
        self._start, self._total, self._unit = f"{name}: " if name else "", total, unit
        self._every = max(1, math.ceil(total / LINES))
        self._began = self._last = time.monotonic()
        self._first: tuple[int, float] | None = None
        self._told = 0

    def line(self, done: int, rates: str = "") -> str:
        """``run: step 20/40, 0:35 so far, 0:32 left  accuracy 0.41``; empty if no line is due."""
        now = time.monotonic()
        new = self._first is None or done == self._total or done // self._every > self._told // self._every
        if done == self._told or not (new or now - self._last >= SILENCE_S):
            return ""
        self._told, self._last, left = done, now, ""
        if self._first is None:
            self._first = done, now  # what came before, such as loading, says nothing about the speed
        elif done < self._total:
            first, then = self._first
            left = f", {_clock((now - then) / (done - first) * (self._total - done))} left"
        return f"{self._start}{self._unit} {done}/{self._total}, {_clock(now - self._began)} so far{left}  {rates}".rstrip()


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}" if minutes >= 60 else f"{minutes}:{rest:02}"


@contextmanager
def progress(
    steps: int, name: str, quiet: bool = False, console: Console | None = None
) -> Iterator[Callable[[dict], None] | None]:
    """A listener for metrics that draws a bar on stderr, or prints whole lines (``PlainProgress``) if that is not a terminal.

    Other output must go to the same ``console``, or it would break the bar.
    """
    if quiet:
        yield None
        return
    console = console or Console(stderr=True, highlight=False)
    if not sys.stderr.isatty():
        plain = PlainProgress(name, steps)

        def listen(line: dict) -> None:
            if text := plain.line(line["step"], rates(line)):
                console.print(text, soft_wrap=True, markup=False)

        yield listen
        return
    shown = bars(console)
    task = shown.add_task(name, total=steps, rates="")

    def draw(line: dict) -> None:
        shown.start()  # only now: loading may prompt for a key, and a bar would overwrite the prompt
        shown.update(task, completed=line["step"], rates=rates(line))

    console.print(f"{name}: loading")
    try:
        yield draw
    finally:
        shown.stop()


def probe_table(runs: Mapping[str, Mapping[str, Any]]) -> Table:
    """Rates with 95 % intervals, before and after, for each run; the layout of ``probe.json``."""
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), title=TITLE, title_justify="left")
    for column in HEAD:
        table.add_column("" if column == "decoding" else column, no_wrap=True)
    rows = probe_rows({name if len(runs) > 1 else "after": probe for name, probe in runs.items()})
    for row, following in zip_longest(rows, rows[1:]):
        last_of_run = following is None or (row.stage == "after" and following.label != row.label)
        table.add_row(*row.cells(behaviors=lambda shown: "\n".join(shown.values())), end_section=last_of_run)
    return table
