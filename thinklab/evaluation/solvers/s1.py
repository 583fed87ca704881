"""S1 budget forcing: "Wait" in place of an early EOS, a cut at the budget (Muennighoff et al. 2025, arXiv 2501.19393).

If the student ends before the thinking budget, its EOS is replaced by "Wait"; if it reaches the budget, it is cut off and
forced to answer. The original is for models with an end-of-thinking token; a student without one thinks until its EOS. Token
ids are continued as sampled, never decoded and re-encoded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from thinklab.evaluation.solvers.base import Answer, Piece, Turn, Writer
from thinklab.tasks.base import Task
from thinklab.types import Example


@dataclass
class _Row:
    prompt: list[int]
    pieces: list[Piece] = field(default_factory=list)
    used: int = 0
    """Tokens of the budget: sampled and kept, and the "Wait"s."""
    waits: int = 0
    read: int = 0
    dropped: int = 0
    done: bool = False
    """Ended by itself, and stays ended."""
    stuck: bool = False
    """No room in the context."""

    @property
    def ids(self) -> list[int]:
        return self.prompt + [i for p in self.pieces for i in p.ids]

    def add(self, ids: Sequence[int], inserted: bool = False) -> None:
        self.pieces.append(Piece(tuple(ids), inserted))


@dataclass(frozen=True)
class S1:
    """``sampled + "Wait"s <= budget``; the forced answer has an additional ``answer_tokens``."""

    budget: int = 2048
    """The thinking budget: maximum tokens before the forced answer."""
    """Tokens of thinking."""
    waits: int | None = 4
    """Maximum number of "Wait"s per question; None = until the budget is used up."""
    answer_tokens: int = 64
    wait: str = "\nWait,"
    end: str = "\n\nFinal answer: \\boxed{"

    def __call__(self, writer: Writer, task: Task, examples: Sequence[Example]) -> list[Answer]:
        rows = [_Row(writer.encode(task.prompt(e))) for e in examples]
        wait, end = writer.encode_text(self.wait), writer.encode_text(self.end)
        going = list(rows)
        while going:
            found = _write(writer, going, [self.budget - r.used for r in going])
            going = [r for r, ids in zip(going, found, strict=True) if self._more(writer, r, ids, wait)]
        cut = [r for r in rows if not r.done and not r.stuck]
        for row in cut:
            row.add(end, inserted=True)
        for row, ids in zip(cut, _write(writer, cut, [self.answer_tokens] * len(cut)), strict=True):
            row.stuck = not ids
            row.done = writer.finished(ids)
            row.add(ids)
        return [_answer(writer, row) for row in rows]

    def _more(self, writer: Writer, row: _Row, ids: Sequence[int], wait: Sequence[int]) -> bool:
        """Process the sampled tokens; True if the row should continue thinking."""
        if not ids:
            row.stuck = not row.pieces  # else it reached the context limit: cut off and forced to answer
            return False
        ended = writer.finished(ids)
        left = self.budget - row.used - len(ids) + ended
        waits = ended and left > len(wait) and (self.waits is None or row.waits < self.waits)
        if not waits:
            row.add(ids)
            row.used += len(ids)
            row.done = ended
            return False
        row.add(ids[:-1])
        row.add(wait, inserted=True)
        row.used += len(ids) - 1 + len(wait)
        row.waits += 1
        row.dropped += 1
        return True


def _write(writer: Writer, rows: Sequence[_Row], limits: Sequence[int]) -> list[list[int]]:
    found = writer.write([r.ids for r in rows], limits) if rows else []
    for row, ids in zip(rows, found, strict=True):
        row.read += len(row.ids) if ids else 0
    return found


def _answer(writer: Writer, row: _Row) -> Answer:
    pieces = tuple(p for p in row.pieces if p.ids)
    if not pieces:
        return Answer((), out_of_room=True)
    ids = [i for p in pieces for i in p.ids]
    return Answer((Turn("answer", pieces, writer.decode(ids), row.done, row.read, row.dropped),), out_of_room=row.stuck)
