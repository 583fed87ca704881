"""Finds shipped configs and behaviors by name: ``find_config``, ``locate``, ``resource_dir``, ``beside``."""

from __future__ import annotations

import os
from pathlib import Path

from thinklab.config.packs import in_packs
from thinklab.config.strict_yaml import clip
from thinklab.errors import BehaviorError, ConfigError, did_you_mean

PACKAGE = Path(__file__).parents[1]
COMMANDS = {"experiment": "train", "study": "study", "evaluation": "eval"}
"""The kinds of config, and the command for each."""
ENDINGS = ("", ".yaml", ".yml")


def resource_dir(name: str) -> Path:
    """The folder ``behaviors`` or ``examples``.

    Raises:
        FileNotFoundError: when the installation is incomplete.
    """
    for folder in (PACKAGE / "data" / name, PACKAGE.parent / name):
        if folder.is_dir():
            return folder
    raise FileNotFoundError(f"thinklab was installed without its folder {name!r}; reinstall it")


def shipped_configs() -> dict[str, dict[str, Path]]:
    """The shipped examples by kind and name: ``{"experiment": {"gsm8k": PATH, ...}, "study": ..., "evaluation": ...}``."""
    found: dict[str, dict[str, Path]] = {kind: {} for kind in COMMANDS}
    for file in sorted(resource_dir("examples").rglob("*.yaml")):
        if file.parent.name == "behaviors":
            continue
        keys = {line.partition(":")[0] for line in file.read_text("utf-8").splitlines()}
        kind = "evaluation" if "benchmarks" in keys else "study" if "arms" in keys else "experiment"
        found[kind][file.stem] = file
    return found


def find_config(path: str | Path, kind: str = "experiment") -> Path:
    """The file that ``path`` refers to, in every command and the ``Lab``.

    A file comes first, with or without its ``.yaml``. Then the shipped examples: ``tiny-grid``, ``tiny-grid.yaml``,
    ``eval/tiny-grid`` and ``examples/eval/tiny-grid.yaml`` refer to the same file from any folder, so the commands in the
    documentation work in a checkout and with the wheel.

    Args:
        kind: ``experiment``, ``study`` or ``evaluation``; a shipped example of another kind is rejected with a message.

    Raises:
        ConfigError: if there is none, with the closest known names.
    """
    path = Path(path).expanduser()
    try:
        for ending in ENDINGS:
            if (file := path.with_name(path.name + ending)).is_file():
                return file
        folder = path.is_dir()
    except (OSError, ValueError) as error:  # not a valid file name
        raise ConfigError(f"cannot read {str(path)[:80]}: {getattr(error, 'strerror', None) or error}") from None
    shipped = shipped_configs()
    parts = tuple(p for p in path.parts if p not in ("..", "."))
    asked = "/".join(parts[1:] if parts[:1] == ("examples",) else parts)
    asked = asked.removesuffix(".yaml").removesuffix(".yml")
    root = resource_dir("examples")
    for found_kind, files in sorted(shipped.items(), key=lambda item: item[0] != kind):  # examples of two kinds may share a name
        for name, file in files.items():
            if not path.is_absolute() and asked in (name, file.relative_to(root).with_suffix("").as_posix()):
                if found_kind != kind:
                    raise ConfigError(
                        f"the shipped example {name!r} is for another command: thinklab {COMMANDS[found_kind]} {name}"
                    )
                return file
    known = [*shipped[kind], *(p.stem for p in sorted(path.parent.glob("*.y*ml")))]
    what = f"{path} is a folder, not a YAML file" if folder else f"there is no config {path}{did_you_mean(path.stem, known)}"
    raise ConfigError(f"{what}; give a YAML file, or the name of a shipped example: {', '.join(shipped[kind])}")


def beside(path: str, folder: Path) -> str:
    """A relative ``path`` in a config in ``folder``: unchanged if it exists from here, else relative to that folder.

    A path that exists in neither place (a hub id, a future file) is returned unchanged.
    """
    here = Path(path).expanduser()
    try:
        if here.is_absolute() or here.exists() or not (folder / here).exists():
            return path
    except (OSError, ValueError):
        return path
    return str((folder / here).resolve())


def shipped() -> dict[str, Path]:
    """Name -> file of the behaviors that ship with thinklab."""
    return {path.stem: path for path in sorted(resource_dir("behaviors").glob("*.yaml"))}


def locate(name_or_path: str | Path) -> Path:
    """A bare name is one of the shipped behaviors or of a pack's; anything with a folder or a ``.yaml`` ending is a path.

    Raises:
        BehaviorError: there is no such behavior or file.
    """
    text = str(name_or_path)
    if isinstance(name_or_path, Path) or "/" in text or "\\" in text or text.endswith((".yaml", ".yml")):
        return Path(name_or_path).expanduser()
    known = shipped()
    if text not in known:
        if (found := in_packs(text)) is not None:
            return found
        hint = f"; there is a file {text}.yaml here, load it as ./{text}.yaml" if os.path.isfile(f"{text}.yaml") else ""
        raise BehaviorError(f"no behavior {clip(text)}{did_you_mean(text, known)}; there are {', '.join(known)}{hint}")
    return known[text]
