"""What a solver returns, and the one way in which it makes the student write.

A solver is a callable ``solver(writer, task, examples) -> [Answer]``. It never touches the model: it hands token ids to
``Writer.write`` and gets token ids back, so that what a question cost can be counted exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from thinklab.tasks.base import Task
from thinklab.types import Example, Message

if TYPE_CHECKING:  # a config may name solvers before anything heavy is imported, and before Unsloth must be
    from thinklab.students.base import Student


@dataclass(frozen=True)
class Piece:
    """Some tokens of a turn that were made in the same way."""

    ids: tuple[int, ...]
    inserted: bool = False
    """True for words that the solver put into the student's mouth; False for what the student sampled."""


@dataclass(frozen=True)
class Turn:
    """One thing that the student wrote. ``answer`` turns are graded, ``check`` turns are not."""

    kind: Literal["answer", "check"]
    pieces: tuple[Piece, ...]
    text: str
    """Decoded from all the pieces together, control tokens left out."""
    finished: bool
    """True when it ends in an EOS that the student sampled."""
    read: int
    """Prompt tokens over all the calls that wrote it: what had to be read again, without any cache between calls."""
    dropped: int = 0
    """Tokens that were sampled and taken out again: the EOS that a "Wait" replaces."""

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
    """Everything that one question brought forth."""

    turns: tuple[Turn, ...]
    out_of_room: bool = False
    """True when a further turn was due and the student's context had no room for it."""

    @property
    def text(self) -> str:
        """What is graded: the last answer turn."""
        return next((t.text for t in reversed(self.turns) if t.kind == "answer"), "")

    @property
    def whole_text(self) -> str:
        """Every turn, a blank line between them: what detectors of behaviors look at."""
        return "\n\n".join(t.text for t in self.turns)

    @property
    def finished(self) -> bool:
        return bool(self.turns) and self.turns[-1].finished and not self.out_of_room

    @property
    def tokens(self) -> int:
        """Response length: tokens that the student wrote, and those written for it."""
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
        """What would have been graded, had writing stopped after ``tokens`` tokens of all turns together.

        The last answer turn that was whole by then, or what there was of the first one.
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
    """A student with its decoding settings. Every call draws from a seed of its own, so the same calls give the same ids."""

    student: Student
    max_new_tokens: int
    """Longest turn."""
    temperature: float = 1.0
    rows: int = 0
    """At most this many questions at once; 0 = all."""
    seed: int = 0
    max_context: int | None = None
    """Longest prompt and answer together; None = the student's own positions."""
    calls: int = 0

    def __post_init__(self) -> None:
        own = self.student.max_positions
        self.room = min(x for x in (own, self.max_context, 1 << 30) if x is not None)

    def write(self, prompts: Sequence[Sequence[int]], limits: Sequence[int] | None = None) -> list[list[int]]:
        """Continue each prompt.

        Args:
            prompts: token ids.
            limits: most new tokens for each; None = ``max_new_tokens``. The room in the context lowers it further.

        Returns:
            New ids for each, the EOS included; ``[]`` where there was no room for any.
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
        """Ids of words that go on after other ids: no control tokens and no space are added."""
        from thinklab.guide.splice_ids import continuation_ids  # imports transformers, which Unsloth must come before

        return continuation_ids(self.student.tokenizer, text, control=True)

    def decode(self, ids: Sequence[int]) -> str:
        return self.student.decode(list(ids))

    def finished(self, ids: Sequence[int]) -> bool:
        return bool(ids) and ids[-1] in self.student.eos_ids

    def turns(self, kind: Literal["answer", "check"], conversations: Sequence[Sequence[Message]]) -> list[Turn | None]:
        """One plain turn after each conversation; None where it no longer fits into the context."""
        prompts = [self.encode(c) for c in conversations]
        return [
            Turn(kind, (Piece(tuple(ids)),), self.decode(ids), self.finished(ids), len(prompt)) if ids else None
            for prompt, ids in zip(prompts, self.write(prompts), strict=True)
        ]


@dataclass
class Talk:
    """A conversation about one question while it is going on."""

    messages: list[Message]
    answer: Answer = Answer(())

    def said(self, turn: Turn | None) -> bool:
        """Note what the student wrote; False when it could not."""
        if turn is None:
            self.answer = replace(self.answer, out_of_room=True)
            return False
        self.messages.append({"role": "assistant", "content": turn.text})
        self.answer = replace(self.answer, turns=(*self.answer.turns, turn))
        return True

    def ask(self, text: str) -> None:
        self.messages.append({"role": "user", "content": text})


def go_on(writer: Writer, talks: Sequence[Talk], kind: Literal["answer", "check"]) -> list[Talk]:
    """Let the student write the next turn of every talk; returns those where it could."""
    turns = writer.turns(kind, [t.messages for t in talks]) if talks else []
    return [talk for talk, turn in zip(talks, turns, strict=True) if talk.said(turn)]


def begin(writer: Writer, task: Task, examples: Sequence[Example]) -> list[Talk]:
    """A talk per example with its first answer; those whose prompt did not fit are out of room."""
    talks = [Talk(list(task.prompt(e))) for e in examples]
    go_on(writer, talks, "answer")
    return talks
