"""The one-sentence teacher, such as ``Arr: {gold}.``: its ``{placeholders}``, how they are filled, and checks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from string import Formatter
from typing import Any

from thinklab.errors import did_you_mean

TEACHER_KNOWS = ("question", "gold", "answer", "response")
"""Placeholders of a teacher's sentence: the question, the right answer, the student's final answer, and its full response."""
LITERAL = "for literal braces write {{ and }}, as in So \\boxed{{{gold}}}."


def placeholders(text: str, known: Iterable[str]) -> list[str]:
    """The placeholders in ``text``, in order, each once.

    Raises:
        ValueError: there is one that is not ``known``, or the braces do not match; the message says what to write.
    """
    known, found = tuple(known), []
    allowed = ", ".join(f"{{{name}}}" for name in known)
    try:
        parts = list(Formatter().parse(text))
    except ValueError:  # its message is about Python's format strings
        raise ValueError(f"unbalanced braces in {text!r}; {LITERAL}") from None
    for _, name, form, conversion in parts:
        if name is None:
            continue
        if name not in known:
            raise ValueError(f"unknown placeholder {{{name}}}{did_you_mean(name, known)}; there are {allowed}; {LITERAL}")
        if form or conversion:
            raise ValueError(f"{{{name}}} takes no format after its name; {LITERAL}")
        found.append(name)
    return list(dict.fromkeys(found))


def filled(text: str, values: Mapping[str, str]) -> str:
    """``text`` with its placeholders replaced; placeholders inside the values are not replaced."""
    return text.format_map(values)


def check_sentence(key: str, text: Any) -> None:
    """Check that ``text`` is a valid teacher sentence.

    Raises:
        ValueError: it is not; ``key`` is the name of the option.
    """
    if not isinstance(text, str):
        raise ValueError(f"{key} must be a sentence, not {text!r}; quote a text that contains braces or ': '")
    if not text.strip():
        raise ValueError(f'{key} is empty; write the sentence that the teacher adds, such as "Arr: {{gold}}."')
    try:
        placeholders(text, TEACHER_KNOWS)
    except ValueError as error:
        raise ValueError(f"{key}: {error}") from None
