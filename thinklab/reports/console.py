"""The terminal: the progress line of a run (``progress``), and ``probe_table``.

Views of records.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import zip_longest
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Column, Table

from thinklab.probing.table import HEAD, TITLE, probe_rows

PLAIN_EVERY = 10  # steps between two lines where the output is not a terminal


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


@contextmanager
def progress(
    steps: int, name: str, quiet: bool = False, console: Console | None = None
) -> Iterator[Callable[[dict], None] | None]:
    """A listener for metrics that draws a bar on stderr, or prints a line every few steps if that is not a terminal.

    Other output must go to the same ``console``, or it would break the bar.
    """
    if quiet:
        yield None
        return
    console = console or Console(stderr=True, highlight=False)
    if not sys.stderr.isatty():

        def listen(line: dict) -> None:
            if line["step"] % PLAIN_EVERY == 0 or line["step"] == steps:
                console.print(f"step {line['step']}/{steps}  {rates(line)}", soft_wrap=True)

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
