"""Ctrl-C (SIGINT) and SIGTERM, which Slurm, Colab and ``kill`` send: what is at work is ended in order, not cut off.

While a student trains (``Session.finishing``) the first signal only leaves a mark: the generation at work is finished and a
checkpoint is saved. A checkpoint can only be continued between two generations, so that is where training stops. Everywhere else
on the command line (``raising``) the first signal raises ``Interrupted`` where it arrives; what was made by then is on disk.
A second signal ends the process at once. The exit code is always 128 plus the signal's number: 130, 143, or 129 for SIGHUP.

Only the main thread of a process can listen; elsewhere (the Lab trains on a thread of its own) nothing is changed.
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
"""SIGHUP is a terminal that was closed. One that is ignored (``nohup``) stays ignored."""
FINISHING = "the generation at work is finished and saved; a second signal ends at once and loses it"
SAME_S = 0.25
"""Two signals within this time are one: ``timeout`` sends its own to the process and to the group, launchers hand Ctrl-C on."""


class Interrupted(KeyboardInterrupt):
    """A signal ended the work. Whoever handles ``KeyboardInterrupt`` handles this; ``exit_code`` is 130 or 143.

    Args:
        number: of the signal.
        text: where the work stands and how to continue it; empty when nobody knows yet.
    """

    def __init__(self, number: int = signal.SIGINT, text: str = ""):
        super().__init__(text)
        self.number, self.text = number, text

    @property
    def exit_code(self) -> int:
        return 128 + self.number


@dataclass
class Listener:
    """What arrived while it was listening."""

    number: int = 0
    """Of the first signal; 0 while there was none."""
    text: str = ""
    """What to say when it arrives; empty: raise ``Interrupted`` there and then."""

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
            os.write(2, f"\n{signal.Signals(number).name}: {self.text}\n".encode())  # no stream: one may be at work right now

    def check(self) -> None:
        """Raises Interrupted when a signal has arrived."""
        if self.number:
            raise Interrupted(self.number)


at_once: list[Callable[[], None]] = []
"""Called when a second signal ends the process at once: child processes must not be left behind, at work."""


def end_at_once(number: int) -> None:
    """End this process now; nothing is saved."""
    for function in at_once:
        function()
    if sys.stderr.isatty():
        os.write(2, b"\x1b[?25h\n")  # a progress bar hides the cursor
    os._exit(128 + number)


@contextmanager
def listening(listener: Listener) -> Iterator[Listener]:
    """Signals within go to ``listener``: one with a text says that and notes the number, one without raises Interrupted."""
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
                # the next one is then the second, wherever it arrives
                handler.number, handler.at = listener.number, listener.at


def raising():
    """``with raising()``: the first signal raises Interrupted, the second ends the process."""
    return listening(Listener())
