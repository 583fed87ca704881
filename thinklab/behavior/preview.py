"""``preview``: the messages that a teacher would be sent, with estimated tokens and dollars of a run.

No key, no network.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import regex

from thinklab.behavior.behavior import Behavior
from thinklab.types import Message, Usage

_PIECES = regex.compile(r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+")
_PER_MESSAGE = 4


def estimate_tokens(text: str) -> int:
    """About how many tokens ``text`` has for a current model.

    Counts the pieces of a byte-pair tokenizer's pre-tokenization, long ones more than once, plus 10 %.
    On the rendered prompts of the shipped behaviors it was within 6 % of two public tokenizers (docs/behaviors.md); the error
    is larger on text that is not English.
    """
    count = 0
    for piece in _PIECES.finditer(text):
        word = piece.group()
        if word.isascii():
            count += 1 if len(word) <= 9 else math.ceil(len(word) / 6)
        else:
            count += math.ceil(len(word.encode("utf-8", "surrogatepass")) / 4)
    return math.ceil(1.1 * count)


def estimate_messages(messages: Sequence[Message]) -> int:
    """The same for a conversation: its texts, plus a few tokens around each."""
    return sum(estimate_tokens(message["content"]) + _PER_MESSAGE for message in messages)


@dataclass(frozen=True)
class PromptPreview:
    """One rendered conversation and its cost."""

    messages: Sequence[Message]
    input_tokens: int
    """Estimate for one call."""
    output_tokens: int
    """Estimate: the average length of the replies in the few-shots."""

    def tokens(self, calls: int) -> tuple[int, int]:
        """(input, output) for that many calls."""
        return calls * self.input_tokens, calls * self.output_tokens

    def dollars(self, calls: int, input_price: float, output_price: float) -> float:
        """What ``calls`` calls cost, for prices in dollars per million tokens, without any prompt cache."""
        given, got = self.tokens(calls)
        return (given * input_price + got * output_price) / 1e6

    def usage(self, calls: int) -> Usage:
        return Usage(*self.tokens(calls))


def preview(behavior: Behavior, question: str, response: str) -> PromptPreview:
    """The conversation for one question and attempt, with its size."""
    messages = behavior.messages(question, response)
    replies = [estimate_tokens(behavior.reply(shot)) for shot in behavior.spec.teacher.few_shots]
    return PromptPreview(messages, estimate_messages(messages), math.ceil(sum(replies) / len(replies)))
