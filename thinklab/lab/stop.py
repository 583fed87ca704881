"""``lab.stop_here``: ends Run All while guidance is undecided.

It stops once per batch; run again, it lets the cells below continue. It never stops without a user: in a script, or if a
program executes the notebook (nbclient and nbconvert declare that with every cell).
"""

from __future__ import annotations

import sys
from pathlib import Path

from thinklab.errors import LabError

_stopped: set[tuple[Path, str]] = set()
"""The batches at which this process has already stopped: run folder and batch key."""


class YourTurn(LabError):
    """Not a failure: the cells below wait for a person."""


def someone_is_there() -> bool:
    """Whether a person is using this notebook: an interactive frontend declares that it can forward input requests."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return bool(getattr(getattr(shell, "kernel", None), "_allow_stdin", False))


def stop_once(folder: Path, key: str, undecided: int, of: int) -> None:
    """Raises YourTurn at the first call about this batch in an interactive session."""
    place = (folder.resolve(), key)
    if not undecided or place in _stopped or not someone_is_there():
        return
    _stopped.add(place)
    raise YourTurn(
        f"{undecided} of {of} pieces of guidance are undecided in the pane above. After deciding, run this cell and all cells "
        "below it (in JupyterLab: Run > Run Selected Cell and All Below; in Colab: Runtime > Run cell and below)"
    )
