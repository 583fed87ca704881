"""``thinklab eval``: arguments, progress, and printing; the work is done in ``evaluation/grid.py``."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Optional

import typer
from rich.console import Console

from thinklab.cli.completion import config_names
from thinklab.config.shipped import find_config
from thinklab.errors import RunError, TeacherError
from thinklab.run.signals import Interrupted
from thinklab.students import unsloth_first


def evaluate(
    file: Annotated[
        Path,
        typer.Argument(
            help="An evaluation YAML file, or the name of a shipped one, such as tiny-grid.",
            autocompletion=config_names("evaluation"),
        ),
    ],
    out: Annotated[Optional[Path], typer.Option(help="Default runs/NAME.")] = None,  # noqa: UP045
    only: Annotated[str, typer.Option(help="Only cells whose METHOD/BENCHMARK matches, such as 'sft/*'.")] = "*",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list the cells and the progress of each.")] = False,
    report_only: Annotated[
        bool, typer.Option("--report-only", help="Only write the table and the page of the finished cells.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress.")] = False,
) -> None:
    """Score FILE's methods on its benchmarks; run again to resume."""
    from thinklab.evaluation.plan import load_evaluation

    file = find_config(file, "evaluation")
    config = load_evaluation(file)
    out = out or Path("runs") / config.name
    wanted = config.cells(only)
    if dry_run:
        for method, benchmark in wanted:
            print(f"{_done(out, method, benchmark):>3} of {config.runs_of(benchmark)} runs  {method}/{benchmark}")
        return
    console = Console(stderr=True, highlight=False)
    if not report_only:
        from thinklab.evaluation.grid import evaluate as run
        from thinklab.evaluation.students import student_kinds

        def say(text: str) -> None:
            if not quiet:
                console.print(text, markup=False, soft_wrap=True)

        for kind in student_kinds(config, file, out, [m for m, _ in wanted]):
            unsloth_first.import_first(kind)
        try:
            with progress(console, config.name, quiet) as listener:
                run(config, file, out, only, say, listener)
        except KeyboardInterrupt as error:
            raise Interrupted(
                getattr(error, "number", 2),
                "stopped; every finished answer is kept. Continue with: thinklab eval "
                f"{shlex.quote(str(file))} --out {shlex.quote(str(out))}",
            ) from None
    from thinklab.evaluation.page import headline, write_results
    from thinklab.evaluation.questions import all_seen
    from thinklab.evaluation.results import collect
    from thinklab.evaluation.students import training_usage

    results = collect(config, out)
    if not results.cells and report_only:
        raise RunError(f"{out} holds no finished run of any cell yet; run the same command without --report-only first")
    table, page = write_results(results, out, all_seen(config, file, out), training_usage(config, file, out))
    print(table.read_text("utf-8"))
    for sentence in headline(results):
        print(sentence)
    print(f"page: {page}")
    if results.judge_failed:  # the page exists, but is incomplete; a script must be able to tell
        raise TeacherError(f"the judge of {file}: {results.judge_failed}")


def _done(out: Path, method: str, benchmark: str) -> int:
    """Complete runs of a cell."""
    from thinklab.run.chunks import whole_chunks
    from thinklab.run.folder import RunFolder

    size = len(((RunFolder(out).read_json("questions.json") or {}).get(benchmark) or {}).get("ids", ()))
    counts: dict[int, int] = {}
    for key, lines in whole_chunks(RunFolder(out / method / benchmark), "answers", repair=False).items():
        number = int(key[0])
        counts[number] = counts.get(number, 0) + len(lines)
    return sum(n == size for n in counts.values()) if size else 0


@contextmanager
def progress(console: Console, name: str, quiet: bool) -> Iterator[Callable[[str, int, int], None]]:
    """A listener that draws one bar over all answers, or prints a line per cell if the output is not a terminal."""
    if quiet:
        yield lambda cell, done, total: None
        return
    if sys.stderr.isatty():
        from thinklab.reports.console import bars

        with bars(console) as shown:
            task = shown.add_task(name, total=None, rates="loading")
            yield lambda cell, done, total: shown.update(task, completed=done, total=total, rates=cell)
        return
    last, begin = "", time.perf_counter()

    def listen(cell: str, done: int, total: int) -> None:
        nonlocal last
        if cell != last:
            last = cell
            console.print(f"{done}/{total} answers, {time.perf_counter() - begin:.0f} s: {cell}", markup=False)

    yield listen
