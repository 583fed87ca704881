"""Whole checkpoints: ``mark`` (sizes and hashes in ``thinklab.json``), ``damage``, ``newest_whole``.

A mark (``thinklab.json``) is written last and names every file with its size and hash.

Left out: hashes of files of more than ``HASH_BYTES``, which would take longer than writing them; their size is still compared.
"""

from __future__ import annotations

import hashlib
import json
import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from thinklab.errors import RunError, RunWarning

COMPLETE = "thinklab.json"
HASH_BYTES = 1 << 30


def mark(folder: Path, facts: Mapping[str, Any]) -> dict[str, Any]:
    """What to write into ``folder/thinklab.json``: ``facts`` and ``{"files": {name: {"bytes": size, "sha256": hash}}}``."""
    files = {}
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and p.name != COMPLETE and p.suffix != ".part"):
        size = path.stat().st_size
        files[path.relative_to(folder).as_posix()] = {"bytes": size, "sha256": _sha256(path) if size <= HASH_BYTES else None}
    return {**facts, "files": files}


def numbered(folder: Path) -> list[tuple[int, Path]]:
    """``(step, path)`` of every marked checkpoint in ``folder``, the newest first, damaged or not."""
    found = [
        (int(m[1]), path)
        for path in folder.glob("checkpoint-*")
        if (m := re.fullmatch(r"checkpoint-(\d+)", path.name)) and (path / COMPLETE).exists()
    ]
    return sorted(found, reverse=True)


def damage(folder: Path, thorough: bool = True) -> str:
    """What is wrong with a marked checkpoint; empty if it is undamaged.

    Args:
        thorough: compare the hashes too, not only the sizes.
    """
    try:
        known = json.loads((folder / COMPLETE).read_text("utf-8"))
        files = known.get("files")
    except (OSError, ValueError, AttributeError):
        return f"{COMPLETE} cannot be read"
    if files is None:  # from before marks listed the files
        return _looks_damaged(folder) if thorough else ""
    for name, said in files.items():
        path = folder / name
        if not path.is_file():
            return f"{name} is missing"
        if (size := path.stat().st_size) != said["bytes"]:
            return f"{name} has {size:,} bytes, not {said['bytes']:,}"
        if thorough and said["sha256"] and _sha256(path) != said["sha256"]:
            return f"{name} has changed since it was written"
    return ""


def _looks_damaged(folder: Path) -> str:
    from safetensors import SafetensorError, safe_open

    weights = list(folder.glob("*.safetensors"))
    if not weights:
        return "the weights (*.safetensors) are missing"
    for path in (*weights, *folder.glob("*.pt"), *folder.glob("*.pth"), *folder.glob("*.json")):
        try:
            if path.suffix == ".safetensors":
                with safe_open(path, framework="numpy"):
                    pass
            elif path.suffix == ".json":
                json.loads(path.read_text("utf-8"))
            else:
                with zipfile.ZipFile(path) as archive:  # torch.save writes a zip archive, with a checksum of each part
                    if archive.testzip():
                        return f"{path.name} is damaged"
        except (SafetensorError, OSError, ValueError, zipfile.BadZipFile):
            return f"{path.name} is damaged"
    return ""


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def newest_whole(folder: Path, thorough: bool, fix: str) -> tuple[Path, int] | None:
    """The newest undamaged checkpoint in ``folder`` and its step; None if there are no checkpoints.

    Args:
        fix: what to do when none is left.

    Raises:
        RunError: if there are checkpoints but all are damaged.

    Warns:
        RunWarning: if a newer one is damaged and an older one is used.
    """
    damaged = []
    for step, path in numbered(folder):
        if why := damage(path, thorough):
            damaged.append(f"{path} is damaged ({why})")
            continue
        if damaged:
            warnings.warn(f"{'; '.join(damaged)}: the older {path.name} is used", RunWarning, stacklevel=3)
        return path, step
    if damaged:
        raise RunError(f"{'; '.join(damaged)}, and there is no other checkpoint: restore it, or {fix}")
    return None


def set_aside(folder: Path, step: int) -> None:
    """Rename the checkpoints after ``step``, which are damaged, to ``damaged-checkpoint-N``: they would be overwritten."""
    for later, path in numbered(folder):
        if later > step:
            names = (path.with_name(f"damaged-{path.name}{f'.{k}' if k else ''}") for k in range(10_000))
            path.rename(next(name for name in names if not name.exists()))
