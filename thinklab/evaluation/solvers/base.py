"""``Answer``, ``Turn``, and the ``Writer`` through which a solver samples from the student, turn by turn.

A solver is a callable ``solver(writer, task, examples) -> [Answer]``. It never uses the model directly: it passes token ids to
``Writer.write`` and gets token ids back, so that the cost of a question can be counted exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from thinklab.tasks.base import Task
from thinklab.types import Example, Message

if TYPE_CHECKING:  # a config may name solvers before heavy imports, and before Unsloth is imported
    from thinklab.students.base import Student


@dataclass(frozen=True)
class Piece:
    """Consecutive tokens of a turn with the same origin."""

    ids: tuple[int, ...]
    inserted: bool = False
    """True for text inserted by the solver; False for text sampled by the student."""


@dataclass(frozen=True)
class Turn:
    """One turn of the student. ``answer`` turns are graded, ``check`` turns are not."""

    kind: Literal["answer", "check"]
    pieces: tuple[Piece, ...]
    text: str
    """Decoded from all pieces together, without control tokens."""
    finished: bool
    """True if it ends in an EOS sampled by the student."""
    read: int
    """Prompt tokens over all calls for this turn, without any cache between calls."""
    dropped: int = 0
    """Tokens that were sampled and discarded: the EOS that a "Wait" replaces."""

    @property
    def ids(self) -> tuple[int, ...]:
        return tuple(i for piece in self.pieces for i in piece.ids)

    @property
    def sampled(self) -> int:
        return sum(len(p.ids) for p in self.pieces if not p.inserted)

    @property
    def inserted(self) -> int:
        return sum(len(p.ids) for p in self.pieces if p.inserted)


@dataclass(frozen=True)
class Answer:
    """The complete result for one question."""

    turns: tuple[Turn, ...]
    out_of_room: bool = False
    """True if another turn was needed but did not fit into the student's context."""

    @property
    def text(self) -> str:
        """The graded turn: the last answer turn."""
        return next((t.text for t in reversed(self.turns) if t.kind == "answer"), "")

    @property
    def whole_text(self) -> str:
        """Every turn, a blank line between them: the text for behavior detectors."""
        return "\n\n".join(t.text for t in self.turns)

    @property
    def finished(self) -> bool:
        return bool(self.turns) and self.turns[-1].finished and not self.out_of_room

    @property
    def tokens(self) -> int:
        """Response length: tokens written by the student or inserted by the solver."""
        return self.sampled + self.inserted

    @property
    def sampled(self) -> int:
        return sum(t.sampled for t in self.turns)

    @property
    def inserted(self) -> int:
        return sum(t.inserted for t in self.turns)

    @property
    def dropped(self) -> int:
        return sum(t.dropped for t in self.turns)

    @property
    def read(self) -> int:
        return sum(t.read for t in self.turns)

    def cut_at(self, tokens: int, decode: Callable[[Sequence[int]], str]) -> str:
        """The text to grade if generation had stopped after ``tokens`` tokens over all turns:

        the last complete answer turn, or the partial first one.
        """
        graded, left = None, tokens
        for turn in self.turns:
            size = len(turn.ids)
            if turn.kind == "answer":
                if size <= left:
                    graded = turn.text
                elif graded is None:
                    return decode(turn.ids[:left])
            left -= size
            if left <= 0:
                break
        return graded or ""


Solver = Callable[["Writer", Task, Sequence[Example]], list[Answer]]


@dataclass
class Writer:
    """A student with its decoding settings. Every call has its own seed, so the same calls give the same ids."""

    student: Student
    max_new_tokens: int
    """Longest turn."""
    temperature: float = 1.0
    rows: int = 0
    """Maximum number of questions at once; 0 = all."""
    seed: int = 0
    max_context: int | None = None
    """Maximum length of prompt plus answer; None = the student's own limit."""
    calls: int = 0

    def __post_init__(self) -> None:
        own = self.student.max_positions
        self.room = min(x for x in (own, self.max_context, 1 << 30) if x is not None)

    def write(self, prompts: Sequence[Sequence[int]], limits: Sequence[int] | None = None) -> list[list[int]]:
        """Continue each prompt.

        Args:
            prompts: token ids.
            limits: maximum new tokens for each; None = ``max_new_tokens``. The context size may lower it further.

        Returns:
            New ids for each, including EOS; ``[]`` if none fit.
        """
        limits = [self.max_new_tokens] * len(prompts) if limits is None else limits
        allowed = [min(limit, self.room - len(prompt)) for limit, prompt in zip(limits, prompts, strict=True)]
        able = [k for k, limit in enumerate(allowed) if limit > 0]
        out: list[list[int]] = [[] for _ in prompts]
        if able:
            sampler = self.student.sampler(max(allowed[k] for k in able), self.temperature, self.rows)
            found = sampler(
                self.student.model,
                [prompts[k] for k in able],
                1,
                self.seed * 1009 + self.calls,
                limits=[allowed[k] for k in able],
            )
            for k, ids in zip(able, found, strict=True):
                out[k] = ids
        self.calls += 1
        return out

    def encode(self, messages: Sequence[Message]) -> list[int]:
        return list(self.student.encode(list(messages)))

    def encode_text(self, text: str) -> list[int]:
        """Ids of words as a continuation of other ids: no control tokens or spaces are added."""
        from thinklab.guide.splice_ids import continuation_ids  # imports transformers, which must be imported after Unsloth

        return continuation_ids(self.student.tokenizer, text, control=True)

    def decode(self, ids: Sequence[int]) -> str:
        return self.student.decode(list(ids))

    def finished(self, ids: Sequence[int]) -> bool:
        return bool(ids) and ids[-1] in self.student.eos_ids

    def turns(self, kind: Literal["answer", "check"], conversations: Sequence[Sequence[Message]]) -> list[Turn | None]:
        """One plain turn after each conversation; None if it no longer fits into the context."""
        prompts = [self.encode(c) for c in conversations]
        return [
            Turn(kind, (Piece(tuple(ids)),), self.decode(ids), self.finished(ids), len(prompt)) if ids else None
            for prompt, ids in zip(prompts, self.write(prompts), strict=True)
        ]


@dataclass
class Talk:
    """An ongoing conversation about one question."""

    messages: list[Message]
    answer: Answer = Answer(())

    def said(self, turn: Turn | None) -> bool:
        """Record the student's turn; False if there is none."""
        if turn is None:
            self.answer = replace(self.answer, out_of_room=True)
            return False
        self.messages.append({"role": "assistant", "content": turn.text})
        self.answer = replace(self.answer, turns=(*self.answer.turns, turn))
        return True

    def ask(self, text: str) -> None:
        self.messages.append({"role": "user", "content": text})


def go_on(writer: Writer, talks: Sequence[Talk], kind: Literal["answer", "check"]) -> list[Talk]:
    """Let the student write the next turn of every conversation; returns those with one."""
    turns = writer.turns(kind, [t.messages for t in talks]) if talks else []
    return [talk for talk, turn in zip(talks, turns, strict=True) if talk.said(turn)]


def begin(writer: Writer, task: Task, examples: Sequence[Example]) -> list[Talk]:
    """A conversation per example with its first answer; those whose prompt did not fit are marked as out of room."""
    talks = [Talk(list(task.prompt(e))) for e in examples]
    go_on(writer, talks, "answer")
    return talks
