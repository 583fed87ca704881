"""The config of a run folder as an ``Experiment``: also of a run that another version of thinklab began.

``config.yaml`` says which version wrote it. Keys that were renamed since then are renamed here (``RENAMED``); a key that this
version does not know is an error with its line.
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
from ruamel.yaml.error import YAMLError

from thinklab import yamlfile
from thinklab._strict_yaml import Place
from thinklab.config import Experiment
from thinklab.errors import ConfigError, RunError, RunWarning
from thinklab.run import RunFolder, versions

RENAMED: tuple[tuple[str, dict[str, str]], ...] = ()
"""``(version, {old key: new key})``, the oldest first: keys (dotted, from the top of the config) as they were named *before* that
version. Version 0.1.0 is the first, so there is none yet. A key that is renamed gets a line here, in the same commit."""


def migrated(config: Mapping[str, Any], version: str) -> tuple[dict[str, Any], list[str]]:
    """``config`` of a run that ``version`` began in the words of this version, and what was renamed (``"old -> new"``)."""
    found, said = copy.deepcopy(dict(config)), []
    for since, names in RENAMED:
        if _number(version) >= _number(since):
            continue
        for old, new in names.items():
            *outer, last = old.split(".")
            node = found
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


def experiment_of(run: RunFolder) -> Experiment:
    """What ``run`` was begun with.

    Raises:
        RunError: when its ``config.yaml`` cannot be used, with one line for each fault that names file and line.

    Warns:
        RunWarning: of keys that were renamed.
    """
    document = document_of(run)
    try:
        return yamlfile.validate(Experiment, document, ConfigError)
    except ConfigError as error:
        raise of_a_run(error, run) from None


def of_a_run(error: ConfigError, run: RunFolder) -> RunError:
    """``error`` about the config of ``run``, with what to do."""
    then, now = _version(run.resolved()), versions().get("thinklab", "?")
    what = (f"the run was begun with thinklab {then} and this is {now}: continue it with that version" if then != now else
            "the file was changed since the run was begun: restore it")
    return RunError(f"{error}; {what}, or start a new run")


def read_document(path: Path) -> yamlfile.Document:
    """An experiment's file, or the ``config.yaml`` of a run, of which the config is taken.

    Raises:
        ThinklabError: when it cannot be read.
    """
    run = run_of(path) if path.is_file() else None
    return document_of(run) if run else yamlfile.read(path, ConfigError)


def document_of(run: RunFolder) -> yamlfile.Document:
    """The config inside ``run``'s ``config.yaml``, with the place of each key; overrides can be set on it."""
    resolved = run.resolved()
    found, said = migrated(resolved["config"], _version(resolved))
    if said:
        warnings.warn(f"{run.config_file}: read with the keys of this version: {', '.join(said)}", RunWarning, stacklevel=3)
    return yamlfile.Document(found, _Lines(run.config_file))


def run_of(path: Path) -> RunFolder | None:
    """The run that ``path`` (a run folder, or its ``config.yaml``) belongs to; None for anything else.

    An experiment in a file of that name has no ``versions``, and so is none.
    """
    folder = os.path.isdir(path)              # False, not an error, for a name that is too long for a file
    run = RunFolder(path if folder else path.parent)
    if not os.path.isfile(run.config_file) or not (folder or path.name == run.config_file.name):
        return None
    if folder:
        return run
    try:
        with open(path, encoding="utf-8") as file:
            found = YAML(typ="safe").load(file)
    except (OSError, UnicodeDecodeError, YAMLError):
        return None
    return run if isinstance(found, dict) and {"config", "versions"} <= found.keys() else None


def differences(old: Any, new: Any, path: str = "") -> list[tuple[str, Any, Any]]:
    """``(dotted key, old value, new value)`` of every leaf in which two plain configs differ."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        return [found for key in dict.fromkeys((*old, *new))
                for found in differences(old.get(key), new.get(key), f"{path}.{key}" if path else str(key))]
    return [] if old == new else [(path, old, new)]


def _version(resolved: Mapping[str, Any]) -> str:
    return str(resolved["versions"].get("thinklab", "0"))


@dataclass
class _Lines:
    """Stands in for the strict parser's ``Node``, which reads files written by hand; says where keys of the config stand."""

    file: Path
    key_place: None = None

    def nearest(self, path: tuple) -> _Found:
        with open(self.file, encoding="utf-8") as text:
            node, line = YAML(typ="rt").load(text)["config"], 1
        for step in path:
            try:
                line = (node.lc.key(step) if isinstance(node, dict) else node.lc.item(step))[0] + 1
                node = node[step]
            except (AttributeError, KeyError, IndexError, TypeError):
                break
        return _Found(Place(os.fspath(self.file), line, 1))


@dataclass
class _Found:
    place: Place
    key_place: None = None
