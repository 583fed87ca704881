"""``load_config``: reads an experiment, applies ``key=value`` overrides, completes paths that lie beside the config."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from thinklab.config import own_parts, yaml_model
from thinklab.config.experiment import Experiment, Section, TrainSection
from thinklab.config.resolved import RENAMED, read_document
from thinklab.config.shipped import beside, find_config
from thinklab.config.strict_yaml import clip
from thinklab.errors import BehaviorError, ConfigError, did_you_mean
from thinklab.interop.own_code import look_beside

Check = Callable[[Experiment, Callable[[tuple[str | int, ...]], str]], None]
"""``check(config, at)`` raises a ``ConfigError``; ``at(("behaviors", 0))`` is the position of that key, such as ``e.yaml:3:13``."""


def load_config(
    path: str | Path, overrides: Sequence[str] = (), profile: str | None = None, check: Check = lambda config, at: None
) -> Experiment:
    """Read an experiment, or the ``config.yaml`` of a run.

    Args:
        overrides: ``dotted.key=value`` strings whose values are YAML.
        profile: overrides the file's.
        check: further validation, run while line numbers are still available.

    Raises:
        ConfigError: with file, line and column, or naming the override that is wrong.
    """
    document = read_config(path)
    for text in overrides:
        apply_override(document, text)
    if profile is not None:
        document.data["profile"] = profile
        document.overrides["profile",] = f"--profile {profile}"
    check_own_files(document, Path.cwd())
    config = yaml_model.validate(Experiment, document, ConfigError)
    _find_behaviors(config, document)
    check(config, document.at)
    return config


def read_config(path: str | Path) -> yaml_model.Document:
    """The file behind ``path`` (``find_config``), with relative paths resolved against its folder (``beside``).

    Raises:
        ConfigError: when there is no such file, or it is no YAML.
    """
    file = find_config(path)
    document = read_document(file)
    look_beside(file)
    paths_beside(document.data, file.parent)
    return document


def check_own_files(document: yaml_model.Document, folder: Path) -> None:
    """Complete the paths of own files that are not in the config's folder, and report one that is missing at its line.

    Args:
        folder: where to look; what an override names is relative to it.

    Raises:
        ConfigError: naming the file.
    """
    own_parts.complete(document.data, [folder])
    for path, file in own_parts.missing(document.data):
        raise ConfigError(
            f"{document.at(path)}: {'.'.join(map(str, path))}: there is no file {file} (looked in the config's folder and in {folder})"
        )


def paths_beside(data: dict[str, Any], folder: Path) -> None:
    """Complete, in place, the paths in ``data`` (data, models, behaviors, records) that exist only in the config's folder, and those
    of own functions (``./my.py:f``), which are looked for in that folder first.

    Args:
        data: a config as in YAML, or a part of it.
        folder: where its file is.
    """
    for key, names in (
        ("task", ("path", "hub")),
        ("student", ("path",)),
        ("teacher", ("path", "run")),
        ("judge", ("path", "run")),
    ):
        section = data.get(key)
        if not isinstance(section, dict):
            continue
        for name in names:
            value = section.get(name)
            if isinstance(value, str):
                section[name] = beside(value, folder)
            elif isinstance(value, dict):
                section[name] = {k: beside(v, folder) if isinstance(v, str) else v for k, v in value.items()}
    own_parts.complete(data, [folder])
    behaviors = data.get("behaviors")
    if not isinstance(behaviors, list):
        return
    for k, entry in enumerate(behaviors):
        named: Any = entry.get("name") if isinstance(entry, dict) else entry
        if isinstance(named, str) and ("/" in named or named.endswith((".yaml", ".yml"))):
            found = beside(named, folder)
            behaviors[k] = {**entry, "name": found} if isinstance(entry, dict) else found


def _find_behaviors(config: Experiment, document: yaml_model.Document) -> None:
    """A missing behavior is reported at the line that names it; errors inside a behavior file are reported at that file."""
    from thinklab.config.shipped import locate

    for k, section in enumerate(config.behaviors):
        try:
            path = locate(section.name)
        except BehaviorError as error:
            raise ConfigError(f"{document.at(('behaviors', k))}: {error}") from error
        if not os.path.isfile(path):  # False, not an error, for a name that is too long for a file
            raise ConfigError(
                f"{document.at(('behaviors', k))}: there is no file {section.name} (looked in {Path.cwd()} and in the config's "
                "folder; a shipped behavior is named without .yaml)"
            )


def _full_key(key: str) -> str:
    """``steps`` -> ``train.steps``: a bare key refers to ``train`` if that has it, else to the one section that does."""
    for _, names in RENAMED:
        for old, new in names.items():
            if key in (old, old.rpartition(".")[2]):
                return new
    if "." in key or key in Experiment.model_fields:
        return key
    if key in TrainSection.model_fields:
        return f"train.{key}"
    sections = {n: f.annotation for n, f in Experiment.model_fields.items() if isinstance(f.annotation, type)}
    owners = [n for n, kind in sections.items() if issubclass(kind, Section) and key in kind.model_fields]
    if len(owners) > 1:
        raise ConfigError(f"{key!r} is ambiguous: write {' or '.join(f'{o}.{key}' for o in owners)}")
    if not owners:
        known = [
            *Experiment.model_fields,
            *(f for kind in sections.values() if issubclass(kind, Section) for f in kind.model_fields),
        ]
        raise ConfigError(f"unknown key {key!r}{did_you_mean(key, known)}")
    return f"{owners[0]}.{key}"


def apply_override(document: yaml_model.Document, text: str) -> None:
    """Set one dotted key in ``document``."""
    key, equals, value = text.partition("=")
    if not equals or not all(key.split(".")):
        raise ConfigError(f"invalid override {clip(text)}; write key=value, such as train.steps=50")
    steps = _full_key(key).split(".")
    try:
        parsed = YAML(typ="safe", pure=True).load(value)
    except (YAMLError, ValueError, RecursionError) as error:  # ValueError: a number of over 4,300 digits
        raise ConfigError(f"the value in {clip(text)} is not valid YAML, or a number that is too long") from error
    node = document.data
    for step in steps[:-1]:
        inner = node.get(step)
        if inner is None:
            inner = node[step] = {}
        elif isinstance(inner, str):  # a shorthand such as ``task: sums``
            short = {"task": "name", "teacher": "backend", "student": "kind", "judge": "teacher"}
            inner = node[step] = {short.get(step, "name"): inner}
        elif not isinstance(inner, dict):
            raise ConfigError(f"{key!r} cannot be set: {step!r} is a {type(inner).__name__}")
        node = inner
    for _, names in RENAMED:  # the file may use the former name of this key
        for section, _, name in (old.rpartition(".") for old, new in names.items() if new == ".".join(steps)):
            if section == ".".join(steps[:-1]):
                node.pop(name, None)
    node[steps[-1]] = parsed
    document.overrides[tuple(steps)] = text if len(text) <= 200 else text[:199] + "…"
