"""``LineIndex``: byte offsets of the lines of a growing ``.jsonl`` file, so that each can be read directly.

The index follows the file: new lines are read at the next ``extend``, an incomplete line is deferred, and a replaced or
truncated file (``RunFolder.rewind``) is read again from its start.
"""

from __future__ import annotations

import json
import os
import threading
import time
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import Any

BLOCK = 1 << 16
"""Bytes per read: small enough that a page never waits long for the lock."""


class LineIndex:
    """Offsets of the complete lines of ``path``. Subclasses process each line in ``add``; every access holds ``lock``."""

    def __init__(self, path: Path):
        self.path, self.lock = Path(path), threading.RLock()
        self.clear()

    def clear(self) -> None:
        """Reset; the file was replaced."""
        self.starts, self.lengths = array("Q"), array("Q")
        self.end = self.seen = 0
        self.identity: tuple[int, int] | None = None
        """Device and inode of the file that was read."""
        self.damaged: list[int] = []
        self.version = getattr(self, "version", -1) + 1
        """Changes when existing lines have changed."""

    def add(self, number: int, record: dict[str, Any]) -> None:
        """Process line ``number`` (from 0)."""

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def size(self) -> int:
        """The current file size in bytes; 0 if there is none."""
        try:
            return self.path.stat().st_size
        except OSError:
            return 0

    def extend(self, budget_s: float = float("inf")) -> bool:
        """Read new lines, for about ``budget_s`` seconds; True if no complete line is left."""
        until = time.perf_counter() + budget_s
        with self.lock:
            try:
                with open(self.path, "rb") as file:
                    status = os.fstat(file.fileno())
                    if (status.st_dev, status.st_ino) != self.identity or status.st_size < self.end:
                        self.clear()
                        self.identity = (status.st_dev, status.st_ino)
                    while self._block(file):
                        if time.perf_counter() >= until:
                            return False
            except FileNotFoundError:
                if self.identity is not None:
                    self.clear()
            return True

    def _block(self, file: Any) -> bool:
        """Index the complete lines of the next block; False if there is none."""
        file.seek(self.end)
        data = file.read(BLOCK)
        whole = data.rfind(b"\n") + 1
        while not whole and len(data) and len(data) % BLOCK == 0:  # a line longer than a block
            more = file.read(BLOCK)
            if not more:
                break
            data += more
            whole = data.rfind(b"\n") + 1
        at = 0
        while at < whole:
            stop = data.index(b"\n", at) + 1
            self._line(data[at:stop], self.end + at)
            at = stop
        self.end += whole
        return whole > 0

    def _line(self, data: bytes, start: int) -> None:
        self.seen += 1
        try:
            record = json.loads(data)
            if not isinstance(record, dict):
                raise ValueError
            self.starts.append(start)
            self.lengths.append(len(data))
            self.add(len(self.starts) - 1, record)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            if len(self.starts) and self.starts[-1] == start:
                self.starts.pop()
                self.lengths.pop()
            self.damaged.append(self.seen)  # said beside the table, never skipped in silence

    def records(self, numbers: Sequence[int]) -> list[dict[str, Any]]:
        """The records of these lines, read from disk now."""
        if not numbers:  # a run that has only started, or trains without rollouts, has no such file
            return []
        with self.lock, open(self.path, "rb") as file:
            out = []
            for number in numbers:
                file.seek(self.starts[number])
                out.append(json.loads(file.read(self.lengths[number])))
            return out


class Kept(LineIndex):
    """A file whose records are few and short enough to be kept: metrics, probes, alarms."""

    def clear(self) -> None:
        super().clear()
        self.kept: list[dict[str, Any]] = []

    def add(self, number: int, record: dict[str, Any]) -> None:
        self.kept.append(record)

    def all(self) -> list[dict[str, Any]]:
        """Every record there is now."""
        with self.lock:
            self.extend()
            return list(self.kept)
