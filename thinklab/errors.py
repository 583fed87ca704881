"""All error classes: ``ThinklabError``, ``ConfigError``, ``RunError``, ...; ``did_you_mean`` suggests a similar name.

Each class is also a built-in error, so plain ``except ValueError`` works.

A message says what is wrong, where, and how to fix it. On the command line a ``ThinklabError`` becomes one line on
stderr and the exit code of its class; a traceback there is a bug.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class ThinklabError(Exception):
    """Base class. ``exit_code``: 2 for an invalid request, 1 for a failed run, 3 for a run that its teacher ended early."""

    exit_code = 1

    def _render_traceback_(self) -> list[str]:
        """In a notebook: only the message, as on the command line. ``%tb`` shows the traceback."""
        return [f"{type(self).__name__}: {self}"]


class ConfigError(ThinklabError, ValueError):
    """An invalid config, option, or argument."""

    exit_code = 2


class BehaviorError(ThinklabError, ValueError):
    """An invalid behavior file; the message starts with ``file:line:column``."""

    exit_code = 2


class TaskError(ThinklabError, ValueError):
    """Questions that cannot be loaded or are not in the expected format."""

    exit_code = 2


class StudentError(ThinklabError, ValueError):
    """A model or tokenizer that cannot be loaded or cannot be used as a student."""

    exit_code = 2


class TeacherError(ThinklabError, RuntimeError):
    """A teacher that cannot work at all (wrong key, unknown backend). One failed reply is a record, not an error."""


class TeacherStopped(TeacherError):
    """The teacher failed during a run, so the run ended early. The progress is saved and can be resumed."""

    exit_code = 3


class WidgetsMissing(ThinklabError, ImportError):
    """A view needs a library that is not installed."""

    exit_code = 2


class TrainingError(ThinklabError, RuntimeError):
    """A run that cannot continue, for instance because the loss is not finite. The progress so far is kept."""


class RunError(ThinklabError, OSError):
    """A run folder that cannot be read, written or continued."""


class RunWarning(UserWarning):
    """Something in a run folder is damaged or missing and was ignored; the message says what was used instead."""


class ReviewError(ThinklabError, ValueError):
    """An invalid decision about guidance; nothing was changed or written."""

    exit_code = 2


class LabError(ThinklabError, RuntimeError):
    """A call of the Lab that is not possible now; the Lab is unchanged."""

    exit_code = 2


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """``" (did you mean 'x'?)"`` or an empty string."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f" (did you mean {close[0]!r}?)" if close else ""
