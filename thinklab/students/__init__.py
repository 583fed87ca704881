"""Students: the embedded tiny one, or any Hugging Face causal LM. ``load_student`` is the one door to all of them."""
from __future__ import annotations

from importlib.metadata import entry_points
from pathlib import Path

from thinklab.config import StudentSection
from thinklab.errors import StudentError, did_you_mean
from thinklab.students.base import Student

TINY = Path(__file__).parent / "tiny"
KINDS = ("embedded", "transformers")


def load_student(kind: str | StudentSection = "embedded", path: str | None = None, *, seed: int = 0, **options) -> Student:
    """A student ready to sample and to train.

    Args:
        kind: ``embedded`` (the tiny one that travels with thinklab), ``transformers`` (a folder or hub id in ``path``),
            or the name of an entry point of group ``thinklab.students``; or a whole ``StudentSection``.
        seed: of the LoRA initialisation.
        options: the other fields of ``StudentSection``: dtype, quantize, lora.

    Raises:
        StudentError: when it cannot be loaded.
    """
    section = kind if isinstance(kind, StudentSection) else StudentSection(kind=kind, path=path, **options)
    if section.kind == "embedded":
        section = section.model_copy(update={"path": str(TINY), "dtype": "float32"})
    if section.kind in KINDS:
        from thinklab.students.hf import load, quiet  # torch and peft take seconds to import: only when needed
        with quiet(section.kind == "embedded"):
            return load(section, seed)
    found = {e.name: e for e in entry_points(group="thinklab.students")}
    if section.kind not in found:
        known = [*KINDS, *found]
        raise StudentError(f"unknown student kind {section.kind!r}{did_you_mean(section.kind, known)}; known: {', '.join(known)}")
    return found[section.kind].load()(section, seed)
