"""``thinklab study``: arguments and printing; the work is done in ``studies/runner.py``."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated, Optional

import typer
from rich.console import Console

from thinklab.cli.completion import config_names
from thinklab.config.shipped import find_config
from thinklab.errors import ConfigError, RunError
from thinklab.run.signals import Interrupted


def study(
    file: Annotated[
        Path,
        typer.Argument(
            help="A study YAML file, or the name of a shipped one, such as six-losses.", autocompletion=config_names("study")
        ),
    ],
    out: Annotated[Optional[Path], typer.Option(help="Default runs/NAME.")] = None,  # noqa: UP045
    jobs: Annotated[Optional[int], typer.Option(min=1, help="Number of concurrent runs; default: one per core.")] = None,  # noqa: UP045
    only: Annotated[str, typer.Option(help="Only runs whose BASE/ARM/seed-N matches, such as 'self-check/*'.")] = "*",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list the runs and the progress of each.")] = False,
    report_only: Annotated[
        bool, typer.Option("--report-only", help="Only write the table and the page of the finished runs.")
    ] = False,
    pack: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(
            help="Run nothing; write the raw files of the finished runs (metrics, every probed answer) to this .tar.xz."
        ),
    ] = None,
    unpack: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="Run nothing; unpack such an archive into the folder --out, and build the table from it."),
    ] = None,
) -> None:
    """Run every arm of FILE with every seed; run again to resume."""
    from thinklab.studies import archive
    from thinklab.studies.runner import run_study
    from thinklab.studies.study import cells, load_study

    console = Console(highlight=False)
    file = find_config(file, "study")
    plan = load_study(file)
    out = out or Path("runs") / plan.name
    planned = cells(plan, file, out, only)
    if pack is not None and unpack is not None:
        raise ConfigError("--pack and --unpack exclude each other")
    if pack is not None:
        number = archive.pack(planned, out, pack)
        console.print(f"{pack}: {number} finished runs of {out}, {pack.stat().st_size / 1e6:.1f} MB", soft_wrap=True)
        return
    if unpack is not None:
        archive.unpack(unpack, out)
    if dry_run:
        for cell in planned:
            console.print(f"{cell.state():<9} {cell.name}", markup=False)
        return
    from thinklab.studies.page import write_study

    failed = []
    if not report_only and unpack is None:
        try:
            failed = run_study(plan, planned, out, jobs, lambda text: console.print(text, markup=False, soft_wrap=True))
        except KeyboardInterrupt as error:
            done = sum(cell.state() == "finished" for cell in planned)
            raise Interrupted(
                getattr(error, "number", 2),
                f"stopped with {done} of {len(planned)} runs finished; the others have saved their progress. Continue with: "
                f"thinklab study {shlex.quote(str(file))} --out {shlex.quote(str(out))}",
            ) from None
    every = cells(plan, file, out)
    if any(cell.state() == "finished" for cell in every):
        table, page = write_study(plan, every, out)
        console.print(table.read_text("utf-8"), markup=False, soft_wrap=True)
        console.print(f"table: {table}   page: {page}", soft_wrap=True)
    if failed:
        raise RunError("\n".join(failed))
