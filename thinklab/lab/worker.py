"""``Worker``: the training thread and how it takes turns with the calling thread; text progress bars.

``advance(order)`` lets the training run to its next ``pause`` and waits for it; ``call(function)`` runs a function on the same
thread while the training is paused or not started. So model, optimizer, and teacher are only used by one thread at a time, and
nothing runs after a notebook cell ends.

The worker displays nothing: it updates ``progress``, and the waiting caller shows it. An interrupt of the
caller (the stop button, Ctrl-C) sets ``stop``, which the worker reads at its next forward pass (``check``). A second one
returns at once; the worker then stops in the background, and the next call waits for it first.
"""

from __future__ import annotations

import queue
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TextIO, TypeVar

from tqdm.std import tqdm

from thinklab.errors import LabError

T = TypeVar("T")
POLL_S = 0.05
NOTEBOOK_COLUMNS, NOTEBOOK_EVERY_S = 88, 0.5
PLAIN_EVERY_S = 10.0  # seconds between lines if stderr is not a terminal


WITH_TOTAL = "{desc}: {n_fmt}/{total_fmt} [{elapsed}<{remaining}{postfix}]"
"""A bar without its bar, for a file."""


class StopAsked(Exception):
    """The caller wants the worker to stop; raised on the worker's thread."""


class Closed(BaseException):
    """The Lab is being closed; unwinds a paused training. Not an ``Exception``, so that nothing handles it on the way."""


@dataclass
class Progress:
    """Progress of the current call. Written by the worker, read by the caller."""

    text: str = ""
    done: int = 0
    total: int | None = None
    extra: str = ""

    def begin(self, text: str, total: int | None = None) -> None:
        self.text, self.done, self.total, self.extra = text, 0, total, ""


class Worker:
    """See the module. ``train`` is the whole training; it calls ``pause`` from inside.

    Args:
        train: called on the worker's thread by the first ``advance``, and again by the first one after it ended or failed.
    """

    def __init__(self, train: Callable[[], None]):
        self._train = train
        self._commands: queue.SimpleQueue[tuple[str, Any, Future[Any]]] = queue.SimpleQueue()
        self._moving: Future[Any] | None = None  # of the advance under way
        self._behind: Future[Any] | None = None  # of a call that is no longer awaited
        self._order: Any = None
        self._thread: threading.Thread | None = None
        self._turn = threading.Lock()
        self.quiet = False
        """No progress bars."""
        self.stop = threading.Event()
        self.progress = Progress()
        self.place = ""
        """The current pause: empty before the training has started and after it has ended, else the argument of ``pause``."""
        self.value: Any = None
        """The argument of ``pause``."""

    # ---- the caller's side

    def call(self, function: Callable[[], T], quiet: bool = False) -> T:
        """Run ``function`` on the worker's thread; returns its result or raises its exception."""
        found: T = self._do("call", function, quiet)
        return found

    def advance(self, order: Any = None) -> str:
        """Hand ``order`` to the training and wait until it pauses again; the new ``place``."""
        place: str = self._do("advance", order, False)
        return place

    @property
    def busy(self) -> bool:
        return self._turn.locked() or (self._behind is not None and not self._behind.done())

    def close(self, wait_s: float = 30.0) -> None:
        """End the thread; a running training is abandoned at its next forward pass."""
        if self._thread is None or not self._thread.is_alive():
            return
        self.stop.set()
        self._commands.put(("close", None, Future()))
        self._thread.join(wait_s)

    def _do(self, kind: str, what: Any, quiet: bool) -> Any:
        if self.mine:
            return what()  # a job that needs another one
        if not self._turn.acquire(blocking=False):
            raise LabError("the Lab is busy with another call; wait until it ends, or stop it")
        try:
            self._settle(quiet)
            self._begin()
            self.stop.clear()
            self.progress.begin("")
            future: Future[Any] = Future()
            self._behind = future
            self._commands.put((kind, what, future))
            return self._wait(future, quiet)
        finally:
            self._turn.release()

    def _begin(self) -> None:
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._main, name="thinklab-lab", daemon=True)
            self._thread.start()

    def _settle(self, quiet: bool) -> None:
        """Wait for an abandoned earlier call; its outcome is in the records, not here."""
        if self._behind is not None and not self._behind.done():
            try:
                self._wait(self._behind, quiet)
            except Exception:
                pass
        self._behind = None

    def _wait(self, future: Future[Any], quiet: bool) -> Any:
        self._behind = future
        asked = False
        with bar(self.progress, quiet or self.quiet) as draw:
            while True:
                try:
                    while not future.done():
                        draw()
                        try:
                            future.exception(timeout=POLL_S)
                        except TimeoutError:
                            continue
                    break
                except KeyboardInterrupt:
                    self.stop.set()
                    if asked:
                        raise
                    asked = True
                    self.progress.extra = "stopping"
            draw()
            self._behind = None
            error = future.exception()
            if asked and (error is None or isinstance(error, StopAsked)):
                raise KeyboardInterrupt
            if error is not None:
                raise error
        return future.result()

    # ---- the worker's side

    @property
    def mine(self) -> bool:
        """Whether this is the worker's own thread."""
        return threading.current_thread() is self._thread

    def check(self) -> None:
        """Raises StopAsked if the caller asked to stop. Called before every forward pass."""
        if self.stop.is_set():
            raise StopAsked

    def pause(self, place: str, value: Any = None) -> Any:
        """Called by the training on the worker's thread: report the pause to the caller, serve calls, return the next order."""
        self.place, self.value = place, value
        self._arrived()
        return self._serve()

    def _main(self) -> None:
        while True:
            try:
                self._order = self._serve()
            except Closed:
                return
            try:
                self._train()
            except Closed:
                return
            except BaseException as error:
                self.place, self.value = "", None
                self._arrived(error)
            else:
                self.place, self.value = "", None
                self._arrived()

    @property
    def order(self) -> Any:
        """The order of the ``advance`` that started the training."""
        return self._order

    def _serve(self) -> Any:
        """Run calls until an advance arrives."""
        while True:
            kind, what, future = self._commands.get()
            if kind == "close":
                raise Closed
            if kind == "advance":
                self._moving = future
                return what
            try:
                future.set_result(what())
            except BaseException as error:
                future.set_exception(error)
            del what, future

    def _arrived(self, error: BaseException | None = None) -> None:
        moving, self._moving = self._moving, None
        if moving is None:
            return
        if error is None:
            moving.set_result(self.place)
        else:
            moving.set_exception(error)


class WholeLines:
    """A file to which ``tqdm`` writes: every state of a bar becomes a line, without the carriage returns that draw over the last one."""

    def __init__(self, out: TextIO):
        self._out, self._last = out, ""

    def write(self, text: str) -> None:
        if (line := text.strip()) and line != self._last:
            self._last = line
            self._out.write(f"{line}\n")

    def flush(self) -> None:
        self._out.flush()


@contextmanager
def bar(progress: Progress, quiet: bool) -> Iterator[Callable[[], None]]:
    """A progress bar that follows ``progress``; a new bar appears for each new text.

    Plain text in a notebook as well, so that it stays in the saved file, and on stdout, so that it is not red.
    A finished bar is full, even if there was less work than estimated (answers end early); a stopped or failed one keeps its
    position.
    """
    bars: list[tqdm[Any]] = []
    text = ""  # of the newest bar
    plain = not quiet and not _shows_bars()
    notebook = not plain and not sys.stderr.isatty()

    def draw() -> None:
        nonlocal text
        if quiet or not progress.text:
            return
        if bars and text != progress.text:
            _fill(bars.pop())
        if not bars:
            bars.append(
                tqdm(
                    total=progress.total,
                    desc=progress.text,
                    leave=True,
                    file=WholeLines(sys.stderr) if plain else sys.stdout if notebook else sys.stderr,
                    delay=2.0 if plain else 0,
                    ncols=NOTEBOOK_COLUMNS if notebook else None,
                    dynamic_ncols=not plain and not notebook,
                    mininterval=PLAIN_EVERY_S if plain else NOTEBOOK_EVERY_S if notebook else 0.1,
                    bar_format=(WITH_TOTAL if plain else None) if progress.total else "{desc}: {n_fmt} [{elapsed}{postfix}]",
                )
            )
            text = progress.text
        shown = bars[-1]
        shown.total = progress.total
        if progress.extra:
            shown.set_postfix_str(progress.extra, refresh=False)
        shown.update(progress.done - shown.n)

    try:
        yield draw
    except BaseException:
        for shown in bars:
            shown.refresh()
            shown.close()
        raise
    for shown in bars:
        _fill(shown)


def _fill(shown: tqdm[Any]) -> None:
    """Complete a bar whose work is done."""
    if shown.total:
        shown.update(shown.total - shown.n)
    shown.refresh()
    shown.close()


def _shows_bars() -> bool:
    from thinklab.lab.results import in_notebook

    return in_notebook() or sys.stderr.isatty()
