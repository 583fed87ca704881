"""What a teacher is: something that answers a list of requests. One file per backend beside this one.

A teacher never raises for one bad reply: it returns a ``TeacherReply`` whose ``error`` names what happened, and the
rollout stays as it was. It raises ``TeacherError`` only when no reply can ever come (a wrong key, an unknown model).
"""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from thinklab.types import Example, Message, Usage


@dataclass(frozen=True)
class TeacherRequest:
    """One rollout to comment on."""

    id: str
    """The rollout's id; the reply carries it back."""
    messages: tuple[Message, ...]
    """The whole conversation as the behaviour renders it: system, few-shots, and the question with the answer."""
    example: Example
    """For teachers that follow rules (``scripted``) or show the question to a person; never sent to a model."""
    response: str
    """The student's answer as text."""
    behavior: str
    """Name of the behaviour that is asked for."""
    behavior_hash: str = ""
    max_tokens: int = 1024
    """Longest reply to ask for."""


@dataclass(frozen=True)
class TeacherReply:
    """One reply, or why there is none."""

    id: str
    text: str = ""
    error: str = ""
    """A slug when there is no usable reply: ``timeout``, ``rate-limit``, ``refusal``, ``empty``, ``budget`` ..."""
    detail: str = ""
    """The same in words."""
    model: str = ""
    usage: Usage = Usage()
    latency_s: float = 0.0
    attempts: int = 1
    cache_hit: bool = False


@runtime_checkable
class Teacher(Protocol):
    """Anything with a name that answers requests, in their order. Entry points: group ``thinklab.teachers``."""

    name: str

    def reply(self, requests: Sequence[TeacherRequest]) -> list[TeacherReply]:
        """One reply per request, same order.

        Raises:
            TeacherError: when the teacher cannot work at all.
        """
        ...
