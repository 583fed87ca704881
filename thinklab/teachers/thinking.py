"""``without_thinking``: a reasoning model's thinking is taken out of its reply, and its tokens are counted.

Some servers send it as text, ``<think>...</think>`` before the reply. Where the chat template has already opened the block,
only ``</think>`` is in the text; where the reply was truncated, it is never closed. Only thinking before the reply is taken out:
the same tags inside a comment are part of it.
"""

from __future__ import annotations

import re
from dataclasses import replace

from thinklab.types import TeacherReply

ONLY_THINKING = (
    "the reply is only thinking, without a comment after it: raise the teacher's option max_tokens, or switch its thinking off"
)
_BLOCK = re.compile(r"\s*<(think|thinking)>(.*?)(?:</\1>\s*|\Z)", re.DOTALL)
_CLOSED = re.compile(r"((?:(?!<think>|<thinking>).)*?)</think(?:ing)?>\s*", re.DOTALL)


def split(text: str) -> tuple[str, str]:
    """(thinking, reply) of a text; the thinking is empty where there is none, the reply where there is nothing else."""
    thoughts: list[str] = []
    start = 0
    while found := _BLOCK.match(text, start):
        thoughts.append(found[2])
        start = found.end()
    if not thoughts and (found := _CLOSED.match(text)):
        thoughts.append(found[1])
        start = found.end()
    return "\n".join(thoughts), text[start:] if start else text


def share_of(thinking: str, text: str, output_tokens: int) -> int:
    """About how many of ``output_tokens`` the thinking has, by its share of the characters."""
    return round(output_tokens * len(thinking) / max(1, len(thinking) + len(text)))


def without_thinking(reply: TeacherReply, apart: str = "") -> TeacherReply:
    """The reply without its thinking, which is counted in ``usage``; unchanged if it has none.

    Args:
        apart: thinking that the service sent next to the text.
    """
    inside, text = split(reply.text)
    thinking = apart + inside
    usage = reply.usage
    if thinking and not usage.thinking_tokens:  # a reported number is better
        usage = replace(usage, thinking_tokens=share_of(thinking, text, usage.output_tokens))
    return replace(reply, text=text, usage=usage)
