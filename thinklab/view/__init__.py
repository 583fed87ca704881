"""The viewer: run folders in a browser on this machine, without a notebook. ``thinklab view runs/``, ``thinklab train --review``.

    lines.py       byte offsets of a growing ``.jsonl`` file
    rollouts.py    pages of ``rollouts.jsonl``: filter, search, sort
    library.py     the runs below a folder, and one line about each
    measured.py    curves, probes, answers and two runs side by side, as JSON
    grids.py       tables of studies and evaluations
    app.py         the pages and the API over them; access.py: who may ask
    assets.py      the pages' own files
    batch.py       one batch under review by several people
    gate.py        the training that waits for them; reviewed.py: where ``thinklab train`` meets it
    serve.py       uvicorn, in the foreground or beside a training
    export.py      the same pages as one static folder

Everything here reads records; only a decision in a review writes.
"""

from __future__ import annotations

from importlib.util import find_spec

from thinklab.errors import ConfigError


def check_installed() -> None:
    """Raises ConfigError where the extra ``view`` is not installed, with the command that installs it."""
    if missing := [name for name in ("starlette", "uvicorn") if find_spec(name) is None]:
        raise ConfigError(f"the viewer needs {' and '.join(missing)}: pip install 'thinklab[view]'")
