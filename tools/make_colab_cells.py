"""Writes the first cells of every notebook from one address: the Colab badge, the install cell, and where the run is kept.

python tools/make_colab_cells.py            # after a change of [tool.thinklab] repository in pyproject.toml
python tools/make_colab_cells.py --check    # exit 1 where a notebook is not up to date

The address is asked once, in pyproject.toml. While it is empty there is no badge, and the install cell takes a wheel that
was uploaded or says how to make one.
"""

from __future__ import annotations

import json
import re
import sys
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
NOTEBOOKS = ROOT / "notebooks"
BADGE = "https://colab.research.google.com/assets/colab-badge.svg"
GITHUB = re.compile(r"https://github\.com/[\w.-]+/[\w.-]+")

INSTALL = """# Colab only: installs thinklab. Elsewhere this cell does nothing.
import sys

if "google.colab" in sys.modules:
    import glob
    import shutil
    import subprocess

    wheels = sorted(glob.glob("/content/thinklab-*.whl"))
    source = f"file://{wheels[-1]}" if wheels else "@SOURCE@"
    if not source:
        raise SystemExit(
            "This copy of thinklab does not say where Colab can install it from. Either put the repository's address into "
            "pyproject.toml ([tool.thinklab] repository) and run python tools/make_colab_cells.py, or run "
            "python -m hatchling build, upload dist/thinklab-*.whl with the Files pane on the left, and run this cell again."
        )
    extras = "widgets,teachers" + (",unsloth" if shutil.which("nvidia-smi") else "")  # the GPU profiles train with Unsloth
    command = [sys.executable, "-m", "pip", "install", "-q", f"thinklab[{extras}] @ {source}"]
    pip = subprocess.run(command, capture_output=True, text=True)
    if pip.returncode:
        raise SystemExit(f"pip could not install thinklab from {source}:\\n{pip.stderr[-2000:]}")
    from thinklab.config.restart import stop_if_needed

    stop_if_needed()"""

DRIVE = '''if DRIVE:  # Colab only: keep the run on your Google Drive, so that a disconnect costs nothing
    from google.colab import drive

    drive.mount("/content/drive")
    OUT = f"/content/drive/MyDrive/thinklab/{OUT}"'''


def repository() -> str:
    """The address in pyproject.toml; empty while there is none.

    Raises:
        SystemExit: for one that Colab cannot open.
    """
    with open(ROOT / "pyproject.toml", "rb") as file:
        address = tomllib.load(file)["tool"]["thinklab"]["repository"].removesuffix("/").removesuffix(".git")
    if address and not GITHUB.fullmatch(address):
        raise SystemExit(f"pyproject.toml: [tool.thinklab] repository is {address!r}, not https://github.com/NAME/REPOSITORY")
    return address


def badge(address: str, name: str) -> str:
    """One line of Markdown; empty without an address."""
    if not address:
        return ""
    page = address.replace("https://github.com/", "https://colab.research.google.com/github/")
    return f"[![Open in Colab]({BADGE})]({page}/blob/main/notebooks/{name})"


def install_cell(address: str) -> str:
    return INSTALL.replace("@SOURCE@", f"git+{address}" if address else "")


def written(notebook: dict[str, Any], address: str, name: str) -> dict[str, Any]:
    """``notebook`` with these cells as ``address`` wants them."""
    cells = [dict(cell) for cell in notebook["cells"]]
    title = [part for part in "".join(cells[0]["source"]).split("\n\n") if BADGE not in part]
    head = badge(address, name)
    _fill(cells[0], "\n\n".join([title[0], *([head] if head else []), *title[1:]]))
    for cell in cells:
        tags = cell["metadata"].get("tags", [])
        if "install" in tags:
            _fill(cell, install_cell(address))
        if "drive" in tags:
            _fill(cell, DRIVE)
    return {**notebook, "cells": cells}


def _fill(cell: dict[str, Any], text: str) -> None:
    cell["source"] = text.splitlines(keepends=True)


def main(check: bool) -> int:
    address, stale = repository(), []
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        text = path.read_text("utf-8")
        new = json.dumps(written(json.loads(text), address, path.name), indent=1, ensure_ascii=False) + "\n"
        if new != text:
            stale.append(path.name)
            if not check:
                path.write_text(new, "utf-8")
    if check and stale:
        print(f"not up to date: {', '.join(stale)}; run python tools/make_colab_cells.py")
    return int(check and bool(stale))


if __name__ == "__main__":
    sys.exit(main("--check" in sys.argv))
