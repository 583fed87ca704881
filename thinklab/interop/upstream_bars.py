"""``loading_bars``: transformers' and the Hub's own progress bars while a model loads, on a terminal or in a notebook only."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager


def someone_watches() -> bool:
    """Whether stderr is a terminal, or this is a notebook's kernel. In a file, a bar is one line of many thousand characters."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return sys.stderr.isatty() or getattr(shell, "kernel", None) is not None


def none_in_files() -> None:
    """For a command line, before transformers is imported: no bars in this process and its children if nobody watches."""
    if not someone_watches():
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")  # transformers follows it


@contextmanager
def loading_bars(wanted: bool = True) -> Iterator[None]:
    """Inside the block, bars are off unless ``wanted`` and somebody watches. A process forked from one with bars needs this."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    off = shown and not (wanted and someone_watches())
    if off:
        logging.disable_progress_bar()
    try:
        yield
    finally:
        if off:
            logging.enable_progress_bar()
