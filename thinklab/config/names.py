"""Names that become folders: of a run, a study, its arms, a benchmark. One rule for all, so that none can write elsewhere."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator

LONGEST_NAME = 100
"""Letters. A file system takes 255 bytes; ``-persistence`` and the like are put behind a name."""

_LETTERS = re.compile(r"\w[\w.+@=, -]*")
_DEVICES = re.compile(r"(?:con|prn|aux|nul|com\d|lpt\d)(?:\..*)?", re.I)  # what Windows keeps for itself


def folder_name(name: str) -> str:
    """``name``, where it can be one folder on every system.

    Raises:
        ValueError: it cannot; the message says why. Inside a config this becomes a ``ConfigError`` with file and line.
    """
    shown = repr(name if len(name) <= 60 else name[:57] + "...")
    if len(name) > LONGEST_NAME or len(name.encode("utf-8", "replace")) > 2 * LONGEST_NAME:
        raise ValueError(f"{shown} becomes a folder and has {len(name):,} letters; {LONGEST_NAME} are the most")
    if not _LETTERS.fullmatch(name) or name[-1] in ". " or _DEVICES.fullmatch(name):
        raise ValueError(
            f"{shown} becomes a folder: letters, digits, spaces and . _ - + only, a letter or digit in front. "
            "Where the folder goes is said with --out"
        )
    return name


FolderName = Annotated[str, AfterValidator(folder_name)]
