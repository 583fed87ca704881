"""A sentence with placeholders, ``Arr: {gold}.``: what a teacher says that somebody wrote down in one line of YAML."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from string import Formatter
from typing import Any

from thinklab.errors import did_you_mean

TEACHER_KNOWS = ("question", "gold", "answer", "response")
"""Placeholders of a teacher's sentence: the question, the right answer, the student's final answer, and all that it wrote."""
LITERAL = "for literal braces write {{ and }}, as in So \\boxed{{{gold}}}."


def placeholders(text: str, known: Iterable[str]) -> list[str]:
    """The placeholders in ``text``, in order, each once.

    Raises:
        ValueError: there is one that is not ``known``, or the braces do not match; in words, with what to write.
    """
    known, found = tuple(known), []
    allowed = ", ".join(f"{{{name}}}" for name in known)
    try:
        parts = list(Formatter().parse(text))
    except ValueError:  # its own words are about Python's format strings
        raise ValueError(f"a brace is open or closed without the other in {text!r}; {LITERAL}") from None
    for _, name, form, conversion in parts:
        if name is None:
            continue
        if name not in known:
            raise ValueError(f"unknown placeholder {{{name}}}{did_you_mean(name, known)}; there are {allowed}; {LITERAL}")
        if form or conversion:
            raise ValueError(f"{{{name}}} takes nothing behind its name; {LITERAL}")
        found.append(name)
    return list(dict.fromkeys(found))


def filled(text: str, values: Mapping[str, str]) -> str:
    """``text`` with its placeholders replaced; what the values hold is never read as a placeholder."""
    return text.format_map(values)


def check_sentence(key: str, text: Any) -> None:
    """Whether ``text`` can be what a teacher says.

    Raises:
        ValueError: it cannot; ``key`` is what the option is called.
    """
    if not isinstance(text, str):
        raise ValueError(f"{key} is a sentence, not {text!r}; quote a text that contains braces or ': '")
    if not text.strip():
        raise ValueError(f'{key} is empty; write the sentence that the teacher adds, such as "Arr: {{gold}}."')
    try:
        placeholders(text, TEACHER_KNOWS)
    except ValueError as error:
        raise ValueError(f"{key}: {error}") from None
