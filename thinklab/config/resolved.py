"""A run's ``config.yaml`` read by another version: renamed keys (``RENAMED``, ``migrated``), and the line of each key.

The file records that version. Keys renamed since then are migrated (``RENAMED``); an unknown key is an error with its
line.
"""

from __future__ import annotations

import copy
import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.error import YAMLError

from thinklab.config import yaml_model
from thinklab.config.explain import Keys
from thinklab.config.strict_yaml import Place
from thinklab.errors import ConfigError, RunWarning

NAME = "config.yaml"
RENAMED: tuple[tuple[str, dict[str, str]], ...] = (("0.2.0", {"train.dry_run": "train.longest_batch_first"}),)
"""``(version, {old key: new key})``, the oldest first: keys (dotted, from the top of the config) as named *before* that
version. Add a line in the commit that renames a key; overrides may use the old name as well."""


def migrated(config: Mapping[str, Any], version: str) -> tuple[dict[str, Any], list[str]]:
    """``config`` of a run started with ``version``, with this version's keys, and what was renamed (``"old -> new"``)."""
    found, said = copy.deepcopy(dict(config)), []
    for since, names in RENAMED:
        if _number(version) >= _number(since):
            continue
        for old, new in names.items():
            *outer, last = old.split(".")
            node: Any = found
            for step in outer:
                node = node.get(step) if isinstance(node, dict) else None
            if not isinstance(node, dict) or last not in node:
                continue
            value, target, (*inner, name) = node.pop(last), found, new.split(".")
            for step in inner:
                target = target.setdefault(step, {})
            target[name] = value
            said.append(f"{old} -> {new}")
    return found, said


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("+")[0].split(".") if part.isdigit())


def read_document(path: Path) -> yaml_model.Document:
    """An experiment's file, or the config inside the ``config.yaml`` of a run.

    Raises:
        ConfigError: when it cannot be read.
    """
    found = resolved(path)
    return document_of(path, found) if found else yaml_model.read(path, ConfigError)


def resolved(path: Path) -> dict[str, Any] | None:
    """The content of a run's ``config.yaml``; None for any other file.

    An experiment file of that name has no ``versions``, so it does not count.
    """
    if path.name != NAME or not os.path.isfile(path):  # False, not an error, for a name that is too long for a file
        return None
    try:
        with open(path, encoding="utf-8") as file:
            found = YAML(typ="safe").load(file)
    except (OSError, UnicodeDecodeError, YAMLError):
        return None
    return found if isinstance(found, dict) and {"config", "versions"} <= found.keys() else None


def document_of(file: Path, resolved: Mapping[str, Any]) -> yaml_model.Document:
    """The config inside ``file``, with the position of each key; overrides can be set on it.

    Warns:
        RunWarning: about renamed keys.
    """
    found, said = migrated(resolved["config"], version_of(resolved))
    if said:
        warnings.warn(f"{file}: keys renamed in this version: {', '.join(said)}", RunWarning, stacklevel=3)
    return yaml_model.Document(found, _Lines(file))


def version_of(resolved: Mapping[str, Any]) -> str:
    """The version of thinklab that wrote it."""
    return str(resolved["versions"].get("thinklab", "0"))


@dataclass
class _Lines:
    """Replaces the strict parser's ``Node``, which is for hand-written files; gives the positions of config keys."""

    file: Path

    def at(self, path: Keys) -> _Found | None:
        """The position of a key in the file; None if it is absent."""
        with open(self.file, encoding="utf-8") as text:
            node = YAML(typ="rt").load(text)["config"]
        for step in path:
            try:
                node = node[step]
            except (KeyError, IndexError, TypeError):
                return None
        return self.nearest(path)

    def nearest(self, path: Keys) -> _Found:
        """The place of a key, or of the innermost one that holds it."""
        with open(self.file, encoding="utf-8") as text:
            node, line = YAML(typ="rt").load(text)["config"], 1
        for step in path:
            try:
                line = (node.lc.key(step) if isinstance(node, CommentedMap) else node.lc.item(step))[0] + 1
                node = node[step]
            except (AttributeError, KeyError, IndexError, TypeError):
                break
        return _Found(Place(os.fspath(self.file), line, 1))


@dataclass
class _Found:
    place: Place
    key_place: Place | None = None
    source: str = ""
