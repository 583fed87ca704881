"""Work in chunks that survives ``kill -9``: ``whole_chunks``, ``add_chunk``, ``seed_of``.

Every chunk has a key that says which one it is, and is seeded from that key. So a lost chunk is reproduced exactly, regardless
of what came before it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from thinklab.run.folder import RunFolder

Key = tuple[int | str, ...]


def seed_of(*key: int | str) -> int:
    """A seed below 2**31 that depends on every part of ``key`` and on nothing else."""
    return int.from_bytes(hashlib.sha256(repr(key).encode()).digest()[:4], "big") >> 1


def whole_chunks(run: RunFolder, name: str, repair: bool = True) -> dict[Key, list[dict[str, Any]]]:
    """The finished chunks of ``<name>.jsonl`` by key; with ``repair``, lines of unfinished chunks are removed from the file."""
    found: dict[Key, list[dict[str, Any]]] = {}
    for line in run.read(name):
        found.setdefault(tuple(line["chunk"]), []).append(line)
    whole = {key: lines for key, lines in found.items() if len(lines) == lines[0]["of"]}
    if repair and len(whole) < len(found):
        run.rewrite(name, (line for lines in whole.values() for line in lines))
    return whole


def add_chunk(run: RunFolder, name: str, key: Key, lines: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Append a chunk of at least one line; returns the lines as written."""
    written = [{"chunk": list(key), "of": len(lines), **line} for line in lines]
    run.append(name, written)
    return written
