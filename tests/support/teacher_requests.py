"""Two requests for a teacher, without a run around them."""

from __future__ import annotations

from thinklab.types import Example, TeacherRequest


def two_requests(text: str = "2+3?", behavior: str = "self-check", tokens: int = 6) -> list[TeacherRequest]:
    """About ``text``, and about a question of one token."""
    return [
        TeacherRequest(
            id=str(k),
            messages=({"role": "user", "content": q},),
            example=Example("1", q, "5"),
            response="5",
            behavior=behavior,
            max_tokens=tokens,
        )
        for k, q in enumerate([text, "4"])
    ]
