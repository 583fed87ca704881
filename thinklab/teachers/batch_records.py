"""``BatchRecords``: which batch has which request, on disk, so that a killed process pays for none twice.

A request is known by its key in the cache of replies, so any later command with the same request finds its batch.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from thinklab.errors import RunError


@dataclass(frozen=True)
class Submitted:
    """One batch as recorded."""

    token: str
    """thinklab's own name for it."""
    id: str
    """The service's; empty if the process ended before the service's answer was recorded."""
    at: float
    """When it was submitted, in seconds since 1970."""
    count: int
    """Number of its requests."""


class BatchRecords:
    """A table of batches in SQLite. Safe from several threads and processes.

    Raises:
        RunError: if the file cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self.path, self._lock = path, threading.Lock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, timeout=30, check_same_thread=False)
            self._db.execute("PRAGMA synchronous=FULL")
            with self._db:
                self._db.execute(
                    "CREATE TABLE IF NOT EXISTS batches (token TEXT PRIMARY KEY, id TEXT, model TEXT, at REAL, count INTEGER)"
                )
                self._db.execute("CREATE TABLE IF NOT EXISTS items (key TEXT PRIMARY KEY, token TEXT)")
        except (OSError, sqlite3.Error) as error:
            raise RunError(
                f"the record of batches {path} cannot be used ({error}): move it away, or set XDG_CACHE_HOME"
            ) from error

    def plan(self, token: str, model: str, keys: Sequence[str]) -> Submitted:
        """Before a batch is submitted: it may exist from now on."""
        batch = Submitted(token, "", time.time(), len(keys))
        with self._lock, self._db:
            self._db.execute("INSERT INTO batches VALUES (?, '', ?, ?, ?)", (token, model, batch.at, batch.count))
            self._db.executemany("INSERT OR REPLACE INTO items VALUES (?, ?)", [(key, token) for key in keys])
        return batch

    def submitted(self, token: str, id: str) -> None:
        """The service has accepted the batch as ``id``."""
        with self._lock, self._db:
            self._db.execute("UPDATE batches SET id = ? WHERE token = ?", (id, token))

    def holding(self, keys: Iterable[str]) -> dict[Submitted, list[str]]:
        """The batches that have some of ``keys``, each with those that it has."""
        found: dict[Submitted, list[str]] = {}
        with self._lock:
            for key in keys:
                row = self._db.execute(
                    "SELECT b.token, b.id, b.at, b.count FROM items i JOIN batches b ON b.token = i.token WHERE i.key = ?", (key,)
                ).fetchone()
                if row is not None:
                    found.setdefault(Submitted(*row), []).append(key)
        return found

    def forget(self, keys: Iterable[str]) -> None:
        """These requests are in no batch (any more)."""
        with self._lock, self._db:
            self._db.executemany("DELETE FROM items WHERE key = ?", [(key,) for key in keys])

    def close(self) -> None:
        with self._lock:
            self._db.close()
