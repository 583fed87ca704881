"""Ctrl-C (SIGINT) and SIGTERM: ``Interrupted``, ``listening``; a second signal ends everything at once.

While a student trains (``Session.finishing``), the first signal only sets a flag: the current generation is finished and a
checkpoint is saved. A run can only be resumed between two generations, so training stops there. Everywhere
else on the command line (``raising``), the first signal raises ``Interrupted`` immediately; results so far are on disk. A
second signal ends the process at once. The exit code is always 128 plus the signal's number: 130, 143, or 129 for SIGHUP.

Only the main thread of a process can handle signals; on other threads (such as the Lab's training thread) nothing is changed.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
"""SIGHUP means that the terminal was closed. If it is ignored (``nohup``), it stays ignored."""
FINISHING = "finishing and saving the current generation; a second signal stops at once and loses it"
SAME_S = 0.25
"""Two signals within this time are one: ``timeout`` signals both the process and its group, and launchers forward Ctrl-C."""


class Interrupted(KeyboardInterrupt):
    """A signal ended the work. Handlers of ``KeyboardInterrupt`` also catch this; ``exit_code`` is 130 or 143.

    Args:
        number: the signal number.
        text: the progress and how to continue; empty if not known yet.
    """

    def __init__(self, number: int = signal.SIGINT, text: str = ""):
        super().__init__(text)
        self.number, self.text = number, text

    @property
    def exit_code(self) -> int:
        return 128 + self.number


@dataclass
class Listener:
    """Receives signals while active."""

    number: int = 0
    """The number of the first signal; 0 if there was none."""
    text: str = ""
    """The message to print when it arrives; empty: raise ``Interrupted`` immediately."""

    at: float = 0.0
    """When it arrived."""

    def __call__(self, number: int, frame: object = None) -> None:
        if self.number and time.monotonic() - self.at < SAME_S:
            return
        if self.number:
            end_at_once(number)
        self.number, self.at = number, time.monotonic()
        if not self.text:
            raise Interrupted(number)
        with suppress(OSError):  # the terminal may be gone
            os.write(2, f"\n{signal.Signals(number).name}: {self.text}\n".encode())  # not a stream: one may be in use right now

    def check(self) -> None:
        """Raises Interrupted when a signal has arrived."""
        if self.number:
            raise Interrupted(self.number)


at_once: list[Callable[[], None]] = []
"""Called when a second signal ends the process at once, so that no child processes are left running."""


def end_at_once(number: int) -> None:
    """End this process now; nothing is saved."""
    for function in at_once:
        function()
    if sys.stderr.isatty():
        os.write(2, b"\x1b[?25h\n")  # a progress bar hides the cursor
    os._exit(128 + number)


@contextmanager
def listening(listener: Listener) -> Iterator[Listener]:
    """Signals inside go to ``listener``: with a text, it prints it and stores the number; without, it raises Interrupted."""
    if threading.current_thread() is not threading.main_thread():
        yield listener
        return
    before = {number: handler for number in SIGNALS if (handler := signal.getsignal(number)) != signal.SIG_IGN}
    for number in before:
        signal.signal(number, listener)
    try:
        yield listener
    finally:
        for number, handler in before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
            if isinstance(handler, Listener) and listener.number:
                # the next one then counts as the second
                handler.number, handler.at = listener.number, listener.at


def raising():
    """``with raising()``: the first signal raises Interrupted, the second ends the process."""
    return listening(Listener())
