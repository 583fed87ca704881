"""Estimates a request's tokens (``likely_tokens``, ``most_tokens``), and the prefix that requests share."""

from __future__ import annotations

from dataclasses import fields

from thinklab.types import TeacherRequest, Usage

MOST_TOKENS = 10**9
"""No reply has as many tokens: a larger number is not a count."""


def likely_tokens(request: TeacherRequest) -> int:
    """An overestimate for English (about 4 bytes per token), and about right for digits and symbols."""
    return _bytes(request) // 3 + 8 * len(request.messages)


def most_tokens(request: TeacherRequest) -> int:
    """A byte-level tokenizer never makes more tokens than bytes; the rest covers the service's own framing."""
    return _bytes(request) + 16 * len(request.messages) + 512


def shot_tokens(request: TeacherRequest) -> int | None:
    """The average reply length in the few-shots, overestimated; None without few-shots."""
    shots = [m["content"] for m in request.messages if m["role"] == "assistant"]
    return sum(len(s.encode("utf-8", "replace")) for s in shots) // 3 // len(shots) if shots else None


def prefix_of(request: TeacherRequest) -> tuple[tuple[str, str], ...]:
    """Everything but the last message: the same for all requests of one behavior."""
    return tuple((m["role"], m["content"]) for m in request.messages[:-1])


def add(a: Usage, b: Usage) -> Usage:
    """Both together."""
    return Usage(**{f.name: getattr(a, f.name) + getattr(b, f.name) for f in fields(Usage)})


def counted(value: object) -> int | None:
    """A number of tokens as a service reports it; None for anything else."""
    return value if type(value) is int and 0 <= value < MOST_TOKENS else None


def reported(
    input_tokens: object, output_tokens: object, cache_read: object = 0, cache_write: object = 0, thinking: object = 0
) -> Usage | None:
    """``Usage`` from a reply's own numbers; None unless both billed counts are numbers."""
    sent, written = counted(input_tokens), counted(output_tokens)
    if sent is None or written is None:
        return None
    from_cache = min(sent, counted(cache_read) or 0)
    to_cache = min(sent - from_cache, counted(cache_write) or 0)
    return Usage(sent, written, from_cache, to_cache, min(written, counted(thinking) or 0))


def _bytes(request: TeacherRequest) -> int:
    return sum(len(m["content"].encode("utf-8", "replace")) for m in request.messages)
