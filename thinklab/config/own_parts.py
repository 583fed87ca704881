"""``own_parts``: the keys of a config that name the user's own functions (rewards, task, verifier, rule), and hashes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from thinklab.config.explain import Keys
from thinklab.config.shipped import beside
from thinklab.interop.own_code import completed, content_hash, file_of

PLACES: tuple[tuple[Keys, str], ...] = (
    (("task",), "the task"),
    (("task", "name"), "the task"),
    (("task", "verifier"), "the verifier"),
    (("teacher", "rule"), "the rule"),
    (("judge", "rule"), "the rule"),
)
"""Keys that may name a function of the user's own, beside the entries of ``reward.functions``, and what it is."""
QUESTIONS = (".jsonl", ".json", ".parquet")
"""Endings of files that may be named in the place of a task."""


def own_parts(data: Mapping[str, Any]) -> Iterator[tuple[Keys, str, str]]:
    """``(key, name as written, what it is)`` of every own function that ``data`` names.

    Args:
        data: a config as in YAML, or a part of it.
    """
    for path, what in PLACES:
        value = _at(data, path)
        if isinstance(value, str) and ":" in value and not value.endswith(QUESTIONS):
            yield path, value, what
    functions = _at(data, ("reward", "functions"))
    for k, entry in enumerate(functions if isinstance(functions, list | tuple) else ()):
        path = ("reward", "functions", k) if isinstance(entry, str) else ("reward", "functions", k, "function")
        if isinstance(value := _at(data, path), str):
            yield path, value, "the reward function"


def complete(data: dict[str, Any], folders: Sequence[Path]) -> None:
    """Complete, in place, the paths of own files in ``data``: each becomes absolute, so that it means the same from everywhere.

    Args:
        folders: where to look, in this order.
    """
    for path, name, _ in list(own_parts(data)):
        _set(data, path, completed(name, folders))
    for path in (("task",), ("task", "name")):
        if isinstance(value := _at(data, path), str) and value.endswith(QUESTIONS):
            for folder in folders:
                value = beside(value, folder)
            _set(data, path, value)


def missing(data: Mapping[str, Any]) -> Iterator[tuple[Keys, str]]:
    """``(key, file)`` of every own file that is named and is not there."""
    for path, name, _ in own_parts(data):
        if (file := file_of(name)) is not None and not Path(file).expanduser().is_file():
            yield path, file


def hashes(data: Mapping[str, Any]) -> dict[str, str]:
    """``{name: hash of its file}`` of the own functions in ``data``; those of installed packages are left out."""
    return {name: found for _, name, _ in own_parts(data) if (found := content_hash(name)) is not None}


def _at(data: Any, path: Keys) -> Any:
    for step in path:
        if isinstance(step, int):
            data = data[step] if isinstance(data, list | tuple) else None
        else:
            data = data.get(step) if isinstance(data, Mapping) else None
    return data


def _set(data: Any, path: Keys, value: Any) -> None:
    """Copies what it changes below ``data``: it may be the caller's."""
    for step in path[:-1]:
        data[step] = list(data[step]) if isinstance(step, str) and not isinstance(data[step], Mapping) else dict(data[step])
        data = data[step]
    data[path[-1]] = value
