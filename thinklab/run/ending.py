"""``exit_code``: a process's errors, interrupts, and warnings as lines on stderr and an exit code.

0 success, 1 a run failed, 2 invalid request, 3 the teacher ended a run early, 130 and 143 stopped by SIGINT and SIGTERM.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.markup import escape

from thinklab.errors import RunWarning, ThinklabError
from thinklab.run.signals import raising

STOPPED = "stopped; finished work is kept"


def exit_code(work: Callable[[], Any], console: Console) -> int:
    """Run ``work``; an error raised on purpose is printed as one line. A traceback is a bug.

    Returns:
        The exit code; a ``SystemExit`` of ``work`` passes through.
    """
    try:
        with shown(console), raising():
            work()
    except ThinklabError as error:
        console.print(f"[red]error:[/red] {escape(_short(str(error)))}", soft_wrap=True)
        return error.exit_code
    except KeyboardInterrupt as error:
        console.print(getattr(error, "text", "") or STOPPED, soft_wrap=True, markup=False)
        return getattr(error, "exit_code", 130)
    except OSError as error:
        console.print(
            f"[red]error:[/red] {escape(error.strerror or str(error))}: {escape(_short(str(error.filename or '')))}",
            soft_wrap=True,
        )
        return 1
    return 0


def _short(text: str) -> str:
    """``text`` with words of over 300 letters cut: an error may quote a name of thousands of letters."""
    return re.sub(r"\S{300,}", lambda word: f"{word[0][:60]}… ({len(word[0]):,} letters)", text)


@contextmanager
def shown(console: Console) -> Iterator[None]:
    """A ``RunWarning`` within becomes one line on ``console``, each text once."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", RunWarning)
        before, said = warnings.showwarning, set()

        def show(message, category, *args, **kwargs):
            if not issubclass(category, RunWarning):
                before(message, category, *args, **kwargs)
            elif str(message) not in said:
                said.add(str(message))
                console.print(f"[yellow]warning:[/yellow] {escape(str(message))}", soft_wrap=True)

        warnings.showwarning = show
        yield
