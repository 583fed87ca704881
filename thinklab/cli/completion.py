"""What the shell completes behind a command: names of shipped behaviors and configs, teachers; files by the shell itself."""

from __future__ import annotations

from collections.abc import Callable


def behavior_names(incomplete: str) -> list[str]:
    """The shipped behaviors that start with ``incomplete``."""
    from thinklab.config.shipped import resource_dir

    return [file.stem for file in sorted(resource_dir("behaviors").glob("*.yaml")) if file.stem.startswith(incomplete)]


def teacher_names(incomplete: str) -> list[str]:
    """The teachers, plugins included, that start with ``incomplete``."""
    from thinklab import teachers

    return [name for name in teachers.teacher_names() if name.startswith(incomplete)]


def one_of(*names: str) -> Callable[[str], list[str]]:
    """A completion with exactly these ``names``."""
    return lambda incomplete: [name for name in names if name.startswith(incomplete)]


def config_names(kind: str) -> Callable[[str], list[str]]:
    """A completion with the shipped configs of ``kind``: ``experiment``, ``study`` or ``evaluation``."""

    def names(incomplete: str) -> list[str]:
        from thinklab.config.shipped import shipped_configs

        return [name for name in shipped_configs()[kind] if name.startswith(incomplete)]

    return names
