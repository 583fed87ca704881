"""How long Run All takes, for each notebook as it is shipped: a first time, and again when its run is done.

    python benchmarks/notebooks.py                          # all of them, in a temporary folder; prints a table
    python benchmarks/notebooks.py 00 04 --keep executed    # some of them; the executed notebooks go to this folder
    python benchmarks/notebooks.py --write                  # also docs/measurements/notebooks.md

Kernel start included; the pane is shown, and nobody decides anything in it.
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "measurements" / "notebooks.md"
ENVIRONMENT = {"HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT)}


def run_all(path: Path, folder: Path) -> tuple[float, str, float, nbformat.NotebookNode]:
    """(seconds, the slowest cell's first line, its seconds, the executed notebook)"""
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(notebook, timeout=None, kernel_name="python3", resources={"metadata": {"path": str(folder)}})
    begin = time.perf_counter()
    client.execute()
    seconds = time.perf_counter() - begin
    cells = [c for c in notebook.cells if c.cell_type == "code"]
    slowest = max(cells, key=_seconds)
    return seconds, slowest.source.splitlines()[0], _seconds(slowest), notebook


def _seconds(cell: nbformat.NotebookNode) -> float:
    times = cell.metadata["execution"]
    begin, end = (datetime.datetime.fromisoformat(times[f"iopub.{what}"]) for what in ("status.busy", "status.idle"))
    return (end - begin).total_seconds()


def said_minutes(notebook: nbformat.NotebookNode) -> str:
    """What the notebook itself says that it takes: the line in italics under its title."""
    found = re.search(r"^\*(.+?)[.,;]", notebook.cells[0].source, re.MULTILINE)
    return found[1] if found else ""


def main() -> None:
    parser = argparse.ArgumentParser(description="Times of Run All")
    parser.add_argument("numbers", nargs="*", help="such as 00 04; default: all")
    parser.add_argument("--keep", type=Path, help="folder for the executed notebooks")
    parser.add_argument("--write", action="store_true", help=f"write {PAGE.relative_to(ROOT)}")
    options = parser.parse_args()
    os.environ |= ENVIRONMENT
    rows = []
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        if options.numbers and path.name[:2] not in options.numbers:
            continue
        with tempfile.TemporaryDirectory() as folder:
            first, cell, slowest, executed = run_all(path, Path(folder))
            alarms = sum(1 for file in Path(folder).rglob("alarms.jsonl") for _ in file.open())
            again, *_ = run_all(path, Path(folder))
            if options.keep:
                options.keep.mkdir(parents=True, exist_ok=True)
                nbformat.write(executed, options.keep / path.name)
                shutil.copytree(folder, options.keep / path.stem, dirs_exist_ok=True)
        rows.append(
            (path.stem, said_minutes(executed), f"{first:.0f} s", f"`{cell[:40]}` {slowest:.0f} s", f"{again:.0f} s", str(alarms))
        )
        print(rows[-1], file=sys.stderr, flush=True)
    head = ("notebook", "it says", "first Run All", "its slowest cell", "again, when done", "alarms of the guards")
    table = "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows))
    print(table)
    if options.write:
        commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=ROOT).stdout.strip()
        load = os.getloadavg()[0]
        PAGE.write_text(
            "# Run All, notebook by notebook\n\n"
            f"`python benchmarks/notebooks.py --write`, {datetime.date.today()}, commit {commit}, Python "
            f"{platform.python_version()}, {os.cpu_count()} CPU cores shared with other work (load {load:.1f} at the end), no GPU. "
            "As shipped, profile `tiny`; kernel start included.\n\n"
            f"{table}\n",
            "utf-8",
        )


if __name__ == "__main__":
    main()
