"""``ReplyCache``: paid replies in SQLite (WAL), keyed by everything that determines them.

The key covers the backend, the address, the model and every setting that goes into a call, the messages as sent, and the
version of this scheme. It does not cover the API key, the time, or the rollout's id. Two processes may share a
file. Replies and outcomes that would recur and cost again (a refusal, a truncated reply) are stored; temporary failures are
not.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import threading
import warnings
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from thinklab.errors import RunError
from thinklab.types import TeacherReply, TeacherRequest, Usage

VERSION = 1
KEPT_ERRORS = ("", "refusal", "max-tokens", "empty", "oversized")


def default_path() -> Path:
    """``$XDG_CACHE_HOME/thinklab/replies.sqlite``, or the same under ``~/.cache``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "thinklab" / "replies.sqlite"


def key_of(settings: Mapping[str, Any], request: TeacherRequest) -> str:
    """Hash of everything that determines the reply to ``request`` from a backend with these ``settings``."""
    what = {
        "version": VERSION,
        "settings": settings,
        "messages": [[m["role"], m["content"]] for m in request.messages],
        "max_tokens": request.max_tokens,
        "behavior": request.behavior,
        "behavior_hash": request.behavior_hash,
    }
    return hashlib.sha256(json.dumps(what, sort_keys=True, ensure_ascii=True).encode()).hexdigest()


class ReplyCache:
    """A table of replies. Safe from several threads and processes.

    Raises:
        RunError: if the file cannot be opened or is not such a database.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path).expanduser()
        self._lock, self._complained = threading.Lock(), False
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(self.path, timeout=30, check_same_thread=False, isolation_level=None)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")
            self._db.execute(
                "CREATE TABLE IF NOT EXISTS replies (key TEXT PRIMARY KEY, model TEXT, reply TEXT, "
                "at TEXT DEFAULT CURRENT_TIMESTAMP) WITHOUT ROWID"
            )
        except (OSError, sqlite3.Error) as error:
            raise RunError(
                f"the cache of replies {self.path} cannot be used ({error}): move it away, set another one with cache: PATH, or "
                "disable it with cache: false"
            ) from error

    def get(self, key: str, rollout_id: str) -> TeacherReply | None:
        """The kept reply, addressed to this rollout and marked as a cache hit; None if there is none."""
        try:
            with self._lock:
                row = self._db.execute("SELECT reply FROM replies WHERE key = ?", (key,)).fetchone()
            if row is None:
                return None
            data = json.loads(row[0])
            return TeacherReply(**{**data, "id": rollout_id, "usage": Usage(**data["usage"]), "cache_hit": True})
        except (sqlite3.Error, ValueError, TypeError, KeyError) as error:
            self._complain(error)
            return None

    def put(self, key: str, reply: TeacherReply) -> None:
        """Stores the reply, unless its error is temporary. The first stored reply is kept."""
        if reply.error not in KEPT_ERRORS:
            return
        data = json.dumps(asdict(replace(reply, id="", cache_hit=False)), ensure_ascii=True)
        try:
            with self._lock:
                self._db.execute("INSERT OR IGNORE INTO replies (key, model, reply) VALUES (?, ?, ?)", (key, reply.model, data))
        except sqlite3.Error as error:  # a full disk disables the cache, not the run
            self._complain(error)

    def _complain(self, error: Exception) -> None:
        if not self._complained:
            self._complained = True
            warnings.warn(f"the cache of replies {self.path} fails ({error}); the run continues without it", stacklevel=2)

    def __len__(self) -> int:
        with self._lock:
            return self._db.execute("SELECT count(*) FROM replies").fetchone()[0]

    def close(self) -> None:
        with self._lock:
            self._db.close()
