"""Students: the embedded tiny one, or any Hugging Face causal LM. ``load_student`` loads all of them."""

from __future__ import annotations

from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from thinklab.config.profiles import apply_profile
from thinklab.config.student_section import SHIPPED, StudentSection
from thinklab.errors import ConfigError, StudentError, did_you_mean
from thinklab.students import unsloth_first

if TYPE_CHECKING:
    from thinklab.students.base import Student as Student  # exported: see __getattr__

TINY = Path(__file__).parent / "tiny"
SMALL_WORLD = Path(__file__).parent / "small_world"
KINDS = (*SHIPPED, "transformers", "unsloth")
FOLDERS = {"embedded": TINY, "small-world": SMALL_WORLD}


def load_student(
    kind: str | StudentSection | None = None,
    path: str | None = None,
    *,
    seed: int = 0,
    profile: str | None = None,
    max_length: int = 2048,
    **options: Any,
) -> Student:
    """A student ready to sample and to train.

    Args:
        kind: ``embedded`` (the tiny one that ships with thinklab, the default), ``small-world`` (a larger one, for the task
            ``world``), ``transformers`` or ``unsloth`` (a folder or hub id in ``path``), or the name of an entry point of group
            ``thinklab.students``; or a whole ``StudentSection``.
        seed: of the LoRA initialization.
        profile: ``tiny``, ``t4``, ``16gb``, ``24gb`` or ``80gb``: fills in what is not given here.
        max_length: ``unsloth`` only: tokens of prompt, answer and guidance together.
        options: the other fields of ``StudentSection``: dtype, quantize, lora, chat_template_kwargs, fast_inference.

    Raises:
        StudentError: when it cannot be loaded.
        ConfigError: for an unknown profile or option.
    """
    if isinstance(kind, StudentSection):
        section = kind
    else:
        given = {k: v for k, v in {"kind": kind, "path": path, **options}.items() if v is not None or k in options}
        if profile is not None:
            given = apply_profile({"student": given}, profile)["student"]
        try:
            section = StudentSection(**given)
        except ValidationError as why:
            raise ConfigError("; ".join(f"student.{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in why.errors())) from None
    student = _load(section, seed, max_length)
    from thinklab.students.base import use_template_kwargs  # imports transformers, which must be imported after Unsloth

    return use_template_kwargs(student, section.chat_template_kwargs)


def shipped_folder(kind: str) -> Path:
    """The folder of a student that ships with thinklab.

    Raises:
        StudentError: if it has not been made yet.
    """
    folder = FOLDERS[kind]
    if not (folder / "model.safetensors").is_file():
        raise StudentError(
            f"the student {kind!r} is not in this installation ({folder}): make it with `python -m thinklab.students.make_world --seed 0 "
            "--out DIR`, about an hour on two cores, and load it as a student of kind 'transformers' with path DIR"
        )
    return folder


def _load(section: StudentSection, seed: int, max_length: int) -> Student:
    if section.kind in SHIPPED:
        section = section.model_copy(update={"path": str(shipped_folder(section.kind)), "dtype": "float32"})
    if section.kind == "unsloth":
        unsloth_first.import_first("unsloth")
        from thinklab.interop.upstream_bars import loading_bars
        from thinklab.students import unsloth

        with loading_bars():
            return unsloth.load(section, seed, max_length)
    if section.kind in KINDS:
        from thinklab.interop.upstream_bars import loading_bars
        from thinklab.students import hf  # torch and peft take seconds to import: only when needed

        with loading_bars(section.kind not in SHIPPED):  # which load instantly
            return hf.load(section, seed)
    found = {e.name: e for e in entry_points(group="thinklab.students")}
    if section.kind not in found:
        known = [*KINDS, *found]
        raise StudentError(f"unknown student kind {section.kind!r}{did_you_mean(section.kind, known)}; known: {', '.join(known)}")
    try:
        make = found[section.kind].load()
    except Exception as error:  # a plugin module may raise anything during import
        raise StudentError(f"the student {section.kind!r} ({found[section.kind].value}) cannot be loaded: {error}") from error
    from thinklab.students.base import check

    return check(make(section, seed), f"the student {section.kind!r}")


def __getattr__(name: str) -> type[Student]:
    if name == "Student":  # its module imports transformers, which must be imported after Unsloth
        from thinklab.students.base import Student

        return Student
    raise AttributeError(f"module 'thinklab.students' has no attribute {name!r}")
