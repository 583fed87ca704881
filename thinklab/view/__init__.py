"""The viewer: run folders in a browser on this machine, without a notebook. ``thinklab view runs/``, ``thinklab train --review``.

    lines.py       byte offsets of the lines of a growing ``.jsonl`` file
    rollouts.py    pages of ``rollouts.jsonl``: filter, search, sort
    library.py     the runs in a folder, and a summary of each
    measured.py    curves, probes, answers and two runs side by side, as JSON
    grids.py       tables of studies and evaluations
    app.py         the pages and the API; access.py: authentication
    assets.py      the static files of the pages
    batch.py       one batch under review by several reviewers
    gate.py        the training that waits for reviews; reviewed.py: its connection to ``thinklab train``
    serve.py       uvicorn, in the foreground or next to a training run
    export.py      the same pages as one static folder

Everything here is read-only, except decisions in a review.
"""

from __future__ import annotations

from importlib.util import find_spec

from thinklab.errors import ConfigError


def check_installed() -> None:
    """Raises ConfigError if the extra ``view`` is not installed, with the command to install it."""
    if missing := [name for name in ("starlette", "uvicorn") if find_spec(name) is None]:
        raise ConfigError(f"the viewer needs {' and '.join(missing)}: pip install 'thinklab[view]'")
