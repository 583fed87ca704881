"""The prompt of a multiple-choice question with lettered options, and the Hub's ``choices`` column."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from thinklab.tasks._choice import LETTERS
from thinklab.tasks._rows import Row, shown
from thinklab.types import Example

INSTRUCTION = "Reason step by step and put the letter of the right option in \\boxed{}."


def lettered(row: Row, question: str, options: Sequence[str], right: int, meta: Mapping[str, Any] | None = None) -> Example:
    """An example whose question ends in ``A. ...``, ``B. ...`` lines; ``right`` counts from 0."""
    if not 2 <= len(options) <= len(LETTERS) or not all(isinstance(o, str) and o.strip() for o in options):
        row.fail(f"a question needs 2 to {len(LETTERS)} options, each a text, not {shown(options)}")
    options = [" ".join(o.split()) for o in options]
    lines = [question, *(f"{letter}. {option}" for letter, option in zip(LETTERS, options, strict=False))]
    return Example(row.id, "\n".join(lines), LETTERS[right], {"choices": options, **(meta or {})})


def from_choices(row: Row) -> Example:
    """Rows with ``question``, ``choices`` {text, label} and ``answerKey`` (ARC, CommonsenseQA).

    Labels other than A, B, ... (some of ARC's are 1 to 4) are relabeled in order.
    """
    choices, key = row["choices"], row["answerKey"]
    if not isinstance(choices, Mapping) or not {"text", "label"} <= set(choices):
        row.fail(f"column 'choices' must contain {{text: [...], label: [...]}}, not {shown(choices)}")
    texts, labels = list(choices["text"]), list(choices["label"])
    if len(texts) != len(labels):
        row.fail(f"column 'choices' has {len(texts)} texts and {len(labels)} labels")
    if key not in labels:
        row.fail(
            f"column 'answerKey' is {shown(key)}, which is not one of the labels {', '.join(map(str, labels))}"
            + ("; this split has no answers" if key == "" else "")
        )
    return lettered(row, row.text("question"), texts, labels.index(key))
