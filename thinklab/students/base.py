"""``Student``: model and tokenizer: chat template, ``encode``, ``decode``, ``answer``, EOS ids, its sampler."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jinja2 import Environment, TemplateError, meta
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from thinklab.config.student_section import TEMPLATE_ARGUMENTS
from thinklab.errors import StudentError, did_you_mean
from thinklab.interop.plugins import check_shape
from thinklab.sampler import Sampler, max_positions
from thinklab.sampler.static import sampler_for
from thinklab.types import Message


@dataclass
class Student:
    """A causal LM with its tokenizer. ``model`` is a ``PeftModel`` with LoRA, else the plain model."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    kind: str
    source: str
    """The folder or hub id that it was loaded from."""
    chat_template_kwargs: dict[str, Any] = field(default_factory=dict)
    """Variables of the chat template, for every prompt."""

    @property
    def eos_ids(self) -> tuple[int, ...]:
        """Every id that ends an answer: the tokenizer's own first, then those that the model declares."""
        declared = self.model.generation_config.eos_token_id
        declared = [] if declared is None else [declared] if isinstance(declared, int) else list(declared)
        own = self.tokenizer.eos_token_id
        return tuple(dict.fromkeys([own, *declared] if own is not None else declared))

    @property
    def tiny(self) -> bool:
        """True for the embedded student and similar ones (``students.make_tiny``), which cannot model English prose."""
        return (Path(self.source).expanduser() / "made.json").is_file()

    @property
    def max_positions(self) -> int | None:
        """Maximum tokens per text; None if the model declares no limit."""
        return max_positions(self.model)

    def sampler(self, max_new_tokens: int, temperature: float = 1.0, rows: int = 0) -> Sampler:
        """thinklab's own; for a student of kind ``unsloth`` one that calls its patched ``generate``."""
        return sampler_for(self.model)(max_new_tokens, self.eos_ids, self.tokenizer.pad_token_id, temperature, rows=rows)

    def encode(self, messages: list[Message]) -> list[int]:
        """A prompt as ids, through the model's own chat template."""
        encoded: Any = self.tokenizer.apply_chat_template(
            [dict(m) for m in messages], add_generation_prompt=True, tokenize=True, return_dict=True, **self.chat_template_kwargs
        )
        ids: list[int] = encoded["input_ids"]
        return ids

    def decode(self, ids: list[int]) -> str:
        text = self.tokenizer.decode(ids, skip_special_tokens=True)
        assert isinstance(text, str), "the ids of one text decode to one text"
        return text

    def answer(
        self,
        prompts: list[list[Message]],
        n: int = 1,
        max_new_tokens: int = 256,
        temperature: float = 1.0,
        seed: int = 0,
        rows: int = 256,
    ) -> list[str]:
        """``n`` answers to each prompt, side by side, as text."""
        ids = [self.encode(p) for p in prompts]
        sampled = self.sampler(max_new_tokens, temperature, rows)(self.model, ids, n, seed)
        return self.tokenizer.batch_decode(sampled, skip_special_tokens=True)


def check(student: Student, what: str = "the student") -> Student:
    """Reject a student that would fail later with an obscure error.

    Args:
        what: a description of the object, for error messages.

    Raises:
        StudentError: if it is not a ``Student``, a method of its class is misspelled or has other parameters than ``Student``'s,
            or the tokenizer has no chat template or no EOS token.
    """
    if not isinstance(student, Student):
        raise StudentError(
            f"{what} is {type(student).__name__}, not a Student: create Student(model, tokenizer, kind, source), or inherit "
            "from thinklab.students.Student"
        )
    check_shape(student, what, StudentError, Student)
    tokenizer = student.tokenizer
    if tokenizer.eos_token_id is None:
        raise StudentError(
            f"the tokenizer of {student.source} has no EOS token, so an answer can never end; set eos_token "
            "in its tokenizer_config.json"
        )
    if not tokenizer.chat_template:
        raise StudentError(
            f"the tokenizer of {student.source} has no chat template, so it cannot be prompted with questions; use an instruct "
            "model, or add a chat_template.jinja next to its tokenizer.json"
        )
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return student


def use_template_kwargs(student: Student, kwargs: Mapping[str, Any]) -> Student:
    """Give ``student`` variables of its chat template.

    Raises:
        StudentError: for a variable that the template does not use. Jinja would ignore it silently.
    """
    template = student.tokenizer.chat_template if kwargs else ""
    text = template if isinstance(template, str) else "\n".join((template or {}).values())
    unknown = [name for name in kwargs if not re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text)]
    if unknown:
        known = sorted(_variables(text))
        raise StudentError(
            f"student.chat_template_kwargs: the chat template of {student.source} has no variable {unknown[0]!r}"
            f"{did_you_mean(unknown[0], known)}; it reads {', '.join(known) or 'no variables'}"
        )
    student.chat_template_kwargs = dict(kwargs)
    return student


def _variables(template: str) -> set[str]:
    """The variables of a chat template besides the conversation; empty if it cannot be parsed."""
    try:
        names = meta.find_undeclared_variables(Environment(extensions=["jinja2.ext.loopcontrols"]).parse(template))
    except TemplateError:
        return set()
    return {n for n in names - TEMPLATE_ARGUMENTS if not n.endswith("_token") and n not in ("raise_exception", "strftime_now")}
