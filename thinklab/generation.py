"""``Generation``: turns TRL's lists of prompts, columns, and token ids into ``Rollout`` records with their ``Example``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from thinklab.types import Example, Rollout

GOLD = ("gold", "answer", "solution")
"""Columns that may hold the reference answer."""


@dataclass(frozen=True)
class Generation:
    """What the rollouts of one generation on one process have in common."""

    number: int
    rows: Sequence[Mapping[str, Any]]
    """The dataset's, one for each rollout."""
    examples: Mapping[str, Example]
    """The questions by id."""
    first: int
    """Number of this process's first rollout among those of all."""
    size: int
    """Answers to each question."""
    ends: frozenset[int]
    """Ids of tokens that end an answer."""
    decode: Callable[[list[list[int]]], list[str]]

    def rollouts(self, prompt_ids: Sequence[Sequence[int]], completion_ids: list[list[int]], at: int = 0) -> list[Rollout]:
        """The rollouts of rows ``at``, ``at`` + 1, ...; the same whether a group comes alone or all come together."""
        texts = self.decode(completion_ids)
        return [
            Rollout(
                id=f"{self.number}-{self.first + row}",
                group=row // self.size,
                example=example_of(self.rows[row], self.examples),
                prompt_ids=tuple(prompt),
                student_ids=tuple(ids),
                finished=bool(ids) and ids[-1] in self.ends,
                text=text,
                student_text=text,
            )
            for row, (prompt, ids, text) in enumerate(zip(prompt_ids, completion_ids, texts, strict=True), start=at)
        ]


def example_of(row: Mapping[str, Any], examples: Mapping[str, Example]) -> Example:
    """The question that ``row`` names in ``example_id``; for a row that names none a question of its own, from its prompt.

    Args:
        row: ``{"prompt": messages or text, "example_id": id, ...}``.
        examples: the questions by id.
    """
    key = row.get("example_id")
    if isinstance(key, str) and key in examples:
        return examples[key]
    prompt = row["prompt"]
    question = prompt if isinstance(prompt, str) else prompt[-1]["content"]
    gold = next((row[column] for column in GOLD if row.get(column) is not None), "")
    name = key if key is not None else sha256(str(prompt).encode()).hexdigest()[:16]
    return Example(id=str(name), question=question, gold=str(gold))
