"""``guide_answers``: guidance for a file of answers without training, and a ``Tally`` of right verdicts.

Lines of the input (JSONL): ``question`` and ``response`` (or ``student_text``, ``completion``); perhaps ``id``, ``gold`` (or
``reference``, ``answer``, whose last number counts) and ``is_correct``. All other fields go into the example's
``meta``. Output lines contain the question, the answer, and a ``Guidance`` record, in input order; the ``replay`` teacher can
read them.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from thinklab.behavior.behavior import Behavior
from thinklab.errors import ConfigError
from thinklab.guide.guide import as_guidance, request_for
from thinklab.interop.strict_json import loads
from thinklab.teachers import Teacher, TeacherRequest
from thinklab.teachers.base import should_stop
from thinklab.teachers.rules import NUMBER, same_number
from thinklab.types import Example, Guidance, to_json

RESPONSE_KEYS = ("response", "student_text", "completion")
GOLD_KEYS = ("gold", "reference", "answer")


@dataclass(frozen=True)
class Answered:
    """One line of the input."""

    example: Example
    response: str
    correct: bool | None
    """Whether the answer is right, by ``is_correct`` or by its last number against ``gold``; None without either."""


@dataclass
class Tally:
    """The outcome of a file."""

    outcomes: Counter[str] = field(default_factory=Counter)
    """``proposed``, or the reason for the rejection."""
    opinions: int = 0
    """Usable replies about answers with a known verdict."""
    opinions_right: int = 0
    not_shown: int = 0
    """Usable guidance in which the detector does not find the behavior: only with ``must_show: false``."""
    details: dict[str, Counter[str]] = field(default_factory=dict)
    """Details by rejection reason, so that the most frequent one can be shown."""

    @property
    def opinion_accuracy(self) -> float | None:
        """Share of the teacher's verdicts that are right; None without any."""
        return self.opinions_right / self.opinions if self.opinions else None

    def add(self, guidance: Guidance, correct: bool | None, shown: bool | None = None) -> None:
        self.not_shown += shown is False
        self.outcomes[guidance.reason or guidance.status] += 1
        if guidance.reason:
            self.details.setdefault(guidance.reason, Counter())[guidance.detail] += 1
        if guidance.verdict is not None and correct is not None:
            self.opinions += 1
            self.opinions_right += guidance.verdict == correct


def read_answers(path: Path, limit: int | None = None) -> list[Answered]:
    """The lines of ``path``, at most ``limit`` of them.

    Raises:
        ConfigError: with file, line, and column of the invalid input.
    """
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error
    answers: list[Answered] = []
    seen: dict[str, tuple[int, str]] = {}
    for number, line in enumerate(lines, 1):
        if len(answers) == limit:
            break
        if line.strip():
            answers.append(answer := _answered(_object(line, f"{path}:{number}"), path, number))
            first, question = seen.setdefault(answer.example.id, (number, answer.example.question))
            if question != answer.example.question:
                raise ConfigError(
                    f"{path}:{number}: line {first} has another question with the id {answer.example.id[:60]!r}; give each "
                    f"question its own id, or none"
                )
    if not answers:
        raise ConfigError(f"{path} is empty")
    return answers


def requests_for(answers: Sequence[Answered], behavior: Behavior) -> list[TeacherRequest]:
    """One request per answer, in the same order."""
    return [request_for(a.example.id, a.example, a.response, behavior) for a in answers]


def guide_answers(
    answers: Sequence[Answered], behavior: Behavior, teacher: Teacher, tally: Tally, batch: int = 64
) -> Iterator[dict[str, Any]]:
    """Output lines, as they arrive, in the order of the answers; fills ``tally``."""
    for start in range(0, len(answers), batch):
        if should_stop(teacher):  # a cap, and ``on_cap: stop``
            return
        part = answers[start : start + batch]
        for answer, reply in zip(part, teacher.reply(requests_for(part, behavior)), strict=True):
            guidance = as_guidance(reply, behavior, answer.response)
            text = answer.response + behavior.separator + guidance.text if guidance.usable else answer.response
            shown = behavior.shown_in(text) if guidance.usable else None
            tally.add(guidance, answer.correct, shown)
            yield {
                "id": answer.example.id,
                "question": answer.example.question,
                "response": answer.response,
                "gold": answer.example.gold,
                "correct": answer.correct,
                "text": text,
                "shown": shown,
                "guidance": to_json(guidance),
            }


def _object(line: str, where: str) -> dict[str, Any]:
    try:
        row = loads(line)
    except json.JSONDecodeError as error:
        raise ConfigError(f"{where}:{error.colno}: not valid JSON: {error.msg}") from error
    if not isinstance(row, dict):
        raise ConfigError(f"{where}: expected an object with 'question' and 'response'")
    return row


def _answered(row: dict[str, Any], path: Path, number: int) -> Answered:
    response = next((row[k] for k in RESPONSE_KEYS if isinstance(row.get(k), str)), None)
    if not isinstance(row.get("question"), str) or response is None:
        raise ConfigError(
            f"{path}:{number}: expected the texts 'question' and 'response'; the line has {', '.join(row) or 'nothing'}"
        )
    source = next((k for k in GOLD_KEYS if row.get(k) not in (None, "")), None)
    gold = "" if source is None else str(row[source])
    if source not in (None, "gold"):
        gold = (NUMBER.findall(gold) or [gold])[-1]
    correct = row.get("is_correct", row.get("correct"))
    if not isinstance(correct, bool):
        correct = same_number(response, gold) if gold else None
    taken = {"id", "question", *RESPONSE_KEYS, *GOLD_KEYS}
    if not isinstance(row.get("meta") or {}, dict):
        raise ConfigError(f"{path}:{number}: 'meta' must be an object")
    meta = {**(row.get("meta") or {}), **{k: v for k, v in row.items() if k not in taken and k != "meta"}}
    example = Example(str(row.get("id", f"{path.stem}-{number}")), row["question"], gold, meta)
    return Answered(example, response, correct)
