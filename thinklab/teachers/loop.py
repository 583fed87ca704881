"""One asyncio event loop on one background thread, for teachers that talk to a network.

A notebook already runs a loop of its own and cannot wait inside it; connections belong to the loop that opened them. So all
network teachers of a process share this one, and callers get a future.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")
_lock = threading.Lock()
_loop: asyncio.AbstractEventLoop | None = None
_pid = 0


def start(work: Coroutine[Any, Any, T]) -> concurrent.futures.Future[T]:
    """Starts ``work`` on the background loop; canceling the future cancels it."""
    return asyncio.run_coroutine_threadsafe(work, _running_loop())


def run(work: Coroutine[Any, Any, T]) -> T:
    """Waits for ``work``; interrupting the caller cancels it first."""
    future = start(work)
    try:
        return future.result()
    except BaseException:
        future.cancel()
        raise


def _running_loop() -> asyncio.AbstractEventLoop:
    global _loop, _pid
    with _lock:
        if _loop is None or _pid != os.getpid():  # a forked child inherits the variable but not the thread
            _loop, _pid = asyncio.new_event_loop(), os.getpid()
            threading.Thread(target=_loop.run_forever, name="thinklab-teachers", daemon=True).start()
        return _loop
