"""``experiment``: the arguments of ``Lab(...)`` as one ``Experiment`` and its ready-made parts."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from thinklab.behavior.behavior import Behavior
from thinklab.config import own_parts, yaml_model
from thinklab.config.experiment import Experiment
from thinklab.config.explain import Explainer
from thinklab.config.load import apply_override, check_own_files, read_config
from thinklab.config.ready_made import ReadyMade
from thinklab.config.resolved import document_of
from thinklab.config.student_section import SHIPPED
from thinklab.errors import ConfigError
from thinklab.experiment.parts import check_part
from thinklab.run.folder import RunFolder

SHORT = {"task": "name", "teacher": "backend", "student": "kind", "judge": "teacher"}


def experiment(
    config: str | Path | Mapping | Experiment | None,
    overrides: Iterable[str],
    profile: str | None,
    settings: Mapping[str, Any],
    out: Path | None,
) -> tuple[Experiment, ReadyMade]:
    """Merge everything, the later over the earlier: the file, ``settings``, ``profile``, ``overrides``.

    Args:
        config: None uses that of the run in ``out``, if there is one.
        settings: sections of the config (a mapping is merged in, a string is the shorthand), ready-made parts, or single keys
            such as ``steps=20``.

    Raises:
        ConfigError: for invalid arguments.
    """
    parts = ReadyMade()
    document = yaml_model.Document(*_begin(config, out))
    for key, value in settings.items():
        if key not in Experiment.model_fields:
            apply_override(document, f"{key}={_as_json(key, value)}")
            continue
        given = _given(key, value, parts)
        old = document.data.get(key)
        if isinstance(given, Mapping) and isinstance(old, str):
            old = {SHORT.get(key, "name"): old}
        document.data[key] = _merged(old, given) if isinstance(given, Mapping) and isinstance(old, Mapping) else given
    if profile is not None:
        document.data["profile"] = profile
        document.overrides["profile",] = f"profile={profile}"
    for text in overrides:
        apply_override(document, text)
    if isinstance(config, str | Path):
        check_own_files(document, Path.cwd())
        return yaml_model.validate(Experiment, document, ConfigError), parts
    own_parts.complete(document.data, [Path.cwd()])
    try:
        return Experiment.model_validate(document.data), parts
    except ValidationError as why:
        raise ConfigError("; ".join(p.text for p in Explainer(Experiment, document.data).problems(why))) from None


def _begin(config, out: Path | None) -> tuple[dict, Any]:
    if isinstance(config, str | Path):
        document = read_config(config)
        return document.data, document.node
    if isinstance(config, Experiment):
        return config.model_dump(mode="json"), None
    if config is None and out is not None and RunFolder(out).config_file.exists():
        return document_of(RunFolder(out).config_file, RunFolder(out).resolved()).data, None
    return {"name": "lab", **_copy(config or {})}, None


def _given(key: str, value: Any, parts: ReadyMade) -> Any:
    """``value`` as config data; a ready-made part is moved to ``parts``."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", exclude_unset=True)
    if key == "behaviors":
        values = [value] if isinstance(value, str | Behavior | Mapping) else list(value)
        parts.behaviors |= {b.name: b for b in values if isinstance(b, Behavior)}
        return [b.name if isinstance(b, Behavior) else b for b in values]
    plain = value is None or isinstance(value, str | int | float | Mapping | list | tuple | Path)
    if key in SHORT and not plain:
        check_part(key, value)
        setattr(parts, key, value)
        if key == "student":
            return {"kind": value.kind, "path": None if value.kind in SHIPPED else value.source}
        return {SHORT[key]: value.name}
    return str(value) if isinstance(value, Path) else value


def _as_json(key: str, value: Any) -> str:
    try:
        return json.dumps(value)
    except (TypeError, ValueError) as error:  # not a config value, or an integer of over 4,300 digits
        raise ConfigError(f"{key} cannot be set to this value: {error}") from None


def _merged(old: Mapping, new: Mapping) -> dict:
    out = dict(old)
    for key, value in new.items():
        out[key] = _merged(out[key], value) if isinstance(value, Mapping) and isinstance(out.get(key), Mapping) else value
    return out


def _copy(data: Mapping) -> dict:
    return {k: _copy(v) if isinstance(v, Mapping) else v for k, v in data.items()}
