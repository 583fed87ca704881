"""Where the files that travel with thinklab are: in the wheel under ``thinklab/data``, in a checkout at its root."""
from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).parent


def resource_dir(name: str) -> Path:
    """The folder ``behaviors`` or ``examples``.

    Raises:
        FileNotFoundError: when the installation is incomplete.
    """
    for folder in (PACKAGE / "data" / name, PACKAGE.parent / name):
        if folder.is_dir():
            return folder
    raise FileNotFoundError(f"thinklab was installed without its folder {name!r}; install it again")
