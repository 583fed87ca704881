"""The stop-here cell of a notebook: Run All ends at it while guidance is undecided, so that the pane above stays alive.

It ends a run of cells once for each batch; run again, it lets the cells below decide. It never stops where nobody could go on:
in a script, and where a program executes the notebook (nbclient and nbconvert say with every cell that nobody can answer).
"""

from __future__ import annotations

import sys
from pathlib import Path

from thinklab.errors import LabError

_stopped: set[tuple[Path, str]] = set()
"""The batches at which this process has stopped already: run folder and the batch's key."""


class YourTurn(LabError):
    """Not a fault: the cells below wait for a person."""


def someone_is_there() -> bool:
    """Is this a notebook with a person in front of it? A frontend with a person says that it could pass a question on."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return bool(getattr(getattr(shell, "kernel", None), "_allow_stdin", False))


def stop_once(folder: Path, key: str, undecided: int, of: int) -> None:
    """Raises YourTurn the first time that it is called about this batch while a person is there."""
    place = (folder.resolve(), key)
    if not undecided or place in _stopped or not someone_is_there():
        return
    _stopped.add(place)
    raise YourTurn(
        f"{undecided} of {of} pieces of guidance wait for you in the pane above. When you have decided, run this cell and "
        "all below it (in JupyterLab: Run > Run Selected Cell and All Below; in Colab: Runtime > Run cell and below)"
    )
