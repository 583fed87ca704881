"""``thinklab view``: arguments; starts ``view/serve.py``, or writes a folder with ``view/export.py``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer
from rich.console import Console


def view(
    runs: Annotated[Path, typer.Argument(help="A run folder, or a folder that contains runs.")] = Path("runs"),
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port of the page on this machine; 0 picks a free one.")] = 0,
    export: Annotated[Optional[Path], typer.Option(help="Write one static folder to share, instead of serving.")] = None,  # noqa: UP045
    rollouts: Annotated[
        int, typer.Option(min=0, help="With --export: how many of the newest rollouts of each run to include.")
    ] = 2000,
) -> None:
    """Show all runs in RUNS in the browser: curves, rollouts, guidance, probes. Nothing leaves this machine."""
    console = Console(stderr=True, highlight=False)
    if export is not None:
        from thinklab.view.export import export_folder

        print(export_folder(runs, export, rollouts, lambda text: console.print(text, markup=False, soft_wrap=True)))
        return
    from thinklab.view.serve import view as serve

    serve(
        runs,
        port,
        lambda url: console.print(
            f"{url}\nOpen this address in a browser; Ctrl-C ends the viewer.", markup=False, soft_wrap=True
        ),
    )
