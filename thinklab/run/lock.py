"""``FolderLock``: one writer per folder (``flock``), and what a second one is told.

The lock is the operating system's (``flock``), so killing the process releases it. Where there is no such lock (Windows, some
network drives), the process named in the file counts as the owner, unless it has ended or runs on another
machine.
"""

from __future__ import annotations

import os
import platform
import time
from pathlib import Path
from typing import TextIO

from thinklab.errors import RunError

LOCK = "run.lock"
PATIENCE_S = 0.3
"""A reader (``held_elsewhere``) holds the lock for an instant; that must not block a writer."""
_HELD: set[Path] = set()
"""Folders locked by this process."""


class FolderLock:
    """Prevents two writers in one folder. Released by ``release``, at the end of a ``with`` block, and when the process ends.

    A missing folder is created; ``release`` removes it if it is still empty.

    Raises:
        RunError: when another process, or a Lab in this one, holds the lock (with its process id), or if the folder is not
            writable.
    """

    def __init__(self, folder: Path):
        self.folder = Path(folder)
        self._made = [p for p in (self.folder, *self.folder.parents) if not p.exists()]
        try:
            file = self._locked()
        except RunError:
            raise
        except OSError as error:
            raise RunError(f"cannot write {self.folder / LOCK}: {error.strerror or error}") from error
        file.seek(0)
        file.truncate()
        file.write(f"process {os.getpid()} on {platform.node()}\n")
        file.flush()
        self._file: TextIO | None = file
        _HELD.add(self.folder.resolve())

    def _locked(self) -> TextIO:
        until = time.monotonic() + PATIENCE_S
        while True:
            self.folder.mkdir(parents=True, exist_ok=True)
            file = open(self.folder / LOCK, "a+", encoding="utf-8")  # noqa: SIM115 - stays open while the lock is held
            file.seek(0)
            owner = file.read().strip()
            if not _taken(file, owner):
                if _still_there(file, self.folder / LOCK):
                    return file
            elif time.monotonic() >= until:
                file.close()
                raise RunError(_refusal(self.folder, owner))
            file.close()
            time.sleep(0.02)

    def release(self) -> None:
        if self._file is None:
            return
        _HELD.discard(self.folder.resolve())
        try:
            self._file.seek(0)
            self._file.truncate()
            if self._made and [p.name for p in self.folder.iterdir()] == [LOCK]:
                (self.folder / LOCK).unlink()
                for path in self._made:
                    path.rmdir()
        except OSError:
            pass  # the folder was moved, or another file was added
        self._file.close()
        self._file = None

    def __enter__(self) -> FolderLock:
        return self

    def __exit__(self, *_) -> None:
        self.release()


def held_here(folder: Path) -> bool:
    """Whether this process has locked ``folder``."""
    return Path(folder).resolve() in _HELD


def held_elsewhere(folder: Path) -> bool:
    """Whether another process has locked ``folder``. Takes no lock and writes nothing."""
    if held_here(folder):
        return False
    try:
        with open(Path(folder) / LOCK, encoding="utf-8") as file:
            return _taken(file, file.read().strip())
    except OSError:
        return False


def _taken(file: TextIO, owner: str) -> bool:
    """Whether another process has locked ``file``. If not, it is locked until it is closed."""
    try:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except (ImportError, OSError):  # no locks here
        return _alive(owner)
    return False


def _alive(owner: str) -> bool:
    import psutil

    words = owner.split()
    here = len(words) > 3 and words[0] == "process" and words[3] == platform.node()
    return here and words[1].isdigit() and psutil.pid_exists(int(words[1]))


def _still_there(file: TextIO, path: Path) -> bool:
    """False if the previous owner removed the file between our opening and locking it."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.stat(path))
    except FileNotFoundError:
        return False


def _refusal(folder: Path, owner: str) -> str:
    if held_here(folder):
        return (
            f"{folder} is already open in this process, perhaps in a Lab: call lab.close() first, or choose another folder "
            "with --out (in Python: out=)"
        )
    return (
        f"{folder} is open in another process{f' ({owner})' if owner else ''}, perhaps a training run or another notebook "
        "kernel: wait until it ends, stop it (in a notebook: lab.close()), or choose another folder with --out (in "
        "Python: out=)"
    )
