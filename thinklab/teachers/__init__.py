"""The teachers of stage 2. ``load_teacher(name, **options)`` loads a built-in one, or one from another package by entry point.

A backend is a callable that returns a ``Teacher``; it is imported only when requested, so the
``openai`` package is needed only by those who use it.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from importlib.metadata import entry_points
from typing import Any

from thinklab.errors import ConfigError, TeacherError, did_you_mean
from thinklab.teachers._option_types import check_types
from thinklab.teachers.protocols import Teacher, check_teacher
from thinklab.types import TeacherReply, TeacherRequest

GROUP = "thinklab.teachers"
BUILT_IN = {
    "anthropic": "thinklab.teachers.anthropic:anthropic_teacher",
    "bedrock": "thinklab.teachers.clouds:bedrock",
    "vertex": "thinklab.teachers.clouds:vertex",
    "foundry": "thinklab.teachers.clouds:foundry",
    "openai": "thinklab.teachers.openai:openai_teacher",
    "openrouter": "thinklab.teachers.openai:openrouter",
    "gemini": "thinklab.teachers.openai:gemini",
    "azure": "thinklab.teachers.openai:azure",
    "ollama": "thinklab.teachers.openai:ollama",
    "llamacpp": "thinklab.teachers.openai:llamacpp",
    "vllm": "thinklab.teachers.openai:vllm",
    "litellm": "thinklab.teachers.litellm:litellm_teacher",
    "self": "thinklab.teachers.resident:SelfTeacher",
    "local": "thinklab.teachers.resident:LocalTeacher",
    "continuation": "thinklab.teachers.continuation:ContinuationTeacher",
    "scripted": "thinklab.teachers.scripted:ScriptedTeacher",
    "human": "thinklab.teachers.human:HumanTeacher",
    "replay": "thinklab.teachers.replay:ReplayTeacher",
}

__all__ = ["Teacher", "TeacherReply", "TeacherRequest", "load_teacher", "teacher_names"]


def teacher_names() -> list[str]:
    """Every backend that ``load_teacher`` accepts: the built-in ones, then those of other packages."""
    return list(dict.fromkeys([*BUILT_IN, *(point.name for point in entry_points(group=GROUP))]))


def load_teacher(backend: str, student: Any = None, **options: Any) -> Teacher:
    """The teacher called ``backend``.

    Args:
        student: passed to a backend that takes one (``self``); the others are loaded without it.
        backend: one of ``teacher_names()``; an entry point of the group ``thinklab.teachers`` may add names, not
            replace a built-in one.
        options: the options of the backend, see its class; each is also a key under ``teacher:`` in a config.

    Raises:
        ConfigError: for an unknown backend or option, with the closest known name.
        TeacherError: when the backend cannot be used, for instance because a package is missing, or does not match the
            declarations in ``thinklab/teachers/protocols.py``.
    """
    factory: Callable[..., Teacher] = teacher_factory(backend)
    if student is not None and "student" in inspect.signature(factory).parameters:
        options["student"] = student
    _check_options(backend, factory, options)
    check_types(backend, factory, options)
    teacher = factory(**options)
    if backend not in BUILT_IN:
        check_teacher(teacher, f"the teacher {backend!r}")
    return teacher


def teacher_factory(backend: str) -> Any:
    """The callable behind ``backend``, imported now. Its parameters are the options of the backend."""
    if backend in BUILT_IN:
        module, _, name = BUILT_IN[backend].partition(":")
        try:
            return getattr(importlib.import_module(module), name)
        except ModuleNotFoundError as error:
            if error.name != "anthropic":
                raise
            extra = backend if backend in ("bedrock", "vertex") else "teachers"
            raise TeacherError(f"the teacher {backend!r} needs the package anthropic: pip install 'thinklab[{extra}]'") from error
    for point in entry_points(group=GROUP):
        if point.name == backend:
            try:
                return point.load()
            except Exception as error:  # a plugin module may raise anything during import
                raise TeacherError(f"the teacher {backend!r} ({point.value}) cannot be loaded: {error}") from error
    known = teacher_names()
    raise ConfigError(f"unknown teacher {backend!r}{did_you_mean(backend, known)}; one of {', '.join(known)}")


def _check_options(backend: str, factory: Any, options: dict[str, Any]) -> None:
    parameters = inspect.signature(factory).parameters.values()
    known = {p.name: p for p in parameters if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)}
    for option in options:
        if option not in known and not any(p.kind is p.VAR_KEYWORD for p in parameters):
            raise ConfigError(
                f"the teacher {backend!r} has no option {option!r}{did_you_mean(option, known)}; "
                f"it takes {', '.join(known) or 'none'}"
            )
    missing = [name for name, p in known.items() if p.default is p.empty and name not in options]
    if missing == ["student"]:
        raise ConfigError(
            f"the teacher {backend!r} is the student's own base model, so it needs a student: use it in a run (thinklab train), "
            "or pass load_teacher(..., student=...). For a model in a folder use the teacher 'local'"
        )
    if missing:
        raise ConfigError(f"the teacher {backend!r} also needs {', '.join(missing)}")
