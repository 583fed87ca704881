"""Every error that thinklab raises on purpose. Each is also a built-in error, so plain ``except ValueError`` works.

A message says what is wrong, where, and how to mend it. On the command line a ``ThinklabError`` becomes one line on
stderr and the exit code of its class; a traceback there is a bug.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class ThinklabError(Exception):
    """Base of all. ``exit_code``: 2 where the request is wrong, 1 where a run failed, 3 where its teacher ended it early."""

    exit_code = 1

    def _render_traceback_(self) -> list[str]:
        """What a notebook shows: the message, as on the command line. ``%tb`` shows the rest."""
        return [f"{type(self).__name__}: {self}"]


class ConfigError(ThinklabError, ValueError):
    """A config, an option or an argument that cannot be used."""

    exit_code = 2


class BehaviorError(ThinklabError, ValueError):
    """A behavior file that cannot be used; the message begins with ``file:line:column``."""

    exit_code = 2


class TaskError(ThinklabError, ValueError):
    """Questions that cannot be loaded or are not in the expected form."""

    exit_code = 2


class StudentError(ThinklabError, ValueError):
    """A model or tokenizer that cannot be loaded or cannot be used as a student."""

    exit_code = 2


class TeacherError(ThinklabError, RuntimeError):
    """A teacher that cannot work at all (wrong key, unknown backend). One failed reply is a record, not an error."""


class TeacherStopped(TeacherError):
    """The teacher gave out while a run was under way, so the run ended early. What was done is saved and can be resumed."""

    exit_code = 3


class WidgetsMissing(ThinklabError, ImportError):
    """A view was asked for whose library is not installed."""

    exit_code = 2


class TrainingError(ThinklabError, RuntimeError):
    """A run that cannot go on, such as a loss that is not finite. What was done so far is kept."""


class RunError(ThinklabError, OSError):
    """A run folder that cannot be read, written or continued."""


class RunWarning(UserWarning):
    """Something in a run folder is damaged or missing and was not used; the message says what was taken in its place."""


class ReviewError(ThinklabError, ValueError):
    """A decision about guidance that cannot be taken; nothing was changed or written."""

    exit_code = 2


class LabError(ThinklabError, RuntimeError):
    """A call of the Lab that cannot be made now; the Lab stays as it was."""

    exit_code = 2


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """``" (did you mean 'x'?)"`` or an empty string."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f" (did you mean {close[0]!r}?)" if close else ""
