"""``folder_name``: which names (of a run, a study, an arm, a benchmark) may become a folder.

One rule for all, so that none can escape its parent.
"""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator

LONGEST_NAME = 100
"""Letters. A file system allows 255 bytes, and suffixes such as ``-persistence`` are added to a name."""

_LETTERS = re.compile(r"\w[\w.+@=, -]*")
_DEVICES = re.compile(r"(?:con|prn|aux|nul|com\d|lpt\d)(?:\..*)?", re.I)  # names that Windows reserves


def folder_name(name: str) -> str:
    """``name``, if it is a valid folder name on every system.

    Raises:
        ValueError: it is not; the message says why. Inside a config this becomes a ``ConfigError`` with file and line.
    """
    shown = repr(name if len(name) <= 60 else name[:57] + "...")
    if len(name) > LONGEST_NAME or len(name.encode("utf-8", "replace")) > 2 * LONGEST_NAME:
        raise ValueError(f"{shown} becomes a folder and has {len(name):,} letters; the limit is {LONGEST_NAME}")
    if not _LETTERS.fullmatch(name) or name[-1] in ". " or _DEVICES.fullmatch(name):
        raise ValueError(
            f"{shown} becomes a folder: letters, digits, spaces and . _ - + only, starting with a letter or digit. Use --out to "
            "choose where the folder goes"
        )
    return name


FolderName = Annotated[str, AfterValidator(folder_name)]
