"""``columns``: a task from any data set of the Hub, folder or file, by the names of its columns and of a verifier.

``load_task("columns", hub="org/name", question="problem", answer="solution", verifier="math")``.

In a config ``task: {hub: org/name, question: problem, answer: solution, verifier: math}``; with ``path`` instead of ``hub`` the
same for a file or a folder of files.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from thinklab.errors import TaskError, did_you_mean
from thinklab.interop.own_code import find_function
from thinklab.tasks import _choice, _exact, _math, _yesno, gsm8k, own, strategyqa
from thinklab.tasks._math import number, tidy
from thinklab.tasks._number import plain
from thinklab.tasks._options import INSTRUCTION as LETTER
from thinklab.tasks._options import lettered
from thinklab.tasks._own_code import checked_verify
from thinklab.tasks._rows import Row, Source, Where, loader, shown
from thinklab.tasks.base import Task
from thinklab.types import Example

YES_NO = {"yes": "yes", "true": "yes", "1": "yes", "no": "no", "false": "no", "0": "no"}
VERIFIERS: dict[str, tuple[Callable[[str, Example], bool], str]] = {
    "auto": (own.verify, own.INSTRUCTION),
    "number": (_math.verify, gsm8k.INSTRUCTION),
    "math": (_math.verify, own.INSTRUCTION),
    "choice": (_choice.verify, LETTER),
    "yes_no": (_yesno.verify, strategyqa.INSTRUCTION),
    "exact": (_exact.verify, own.INSTRUCTION),
}
"""By name: the verifier, and the instruction for the student."""


def task(
    hub: str | None = None,
    path: Where = None,
    split: Where = None,
    subset: str | None = None,
    revision: str | None = None,
    question: str = "question",
    answer: str = "answer",
    choices: str | None = None,
    answer_after: str | None = None,
    verifier: str = "auto",
    instruction: str | None = None,
    columns: Sequence[str] = (),
) -> Task:
    """
    Args:
        hub: id of a data set on the Hugging Face Hub, or a local folder that ``datasets`` can read.
        path: a local file or folder instead, as for every task.
        split: the data set's own names, such as ``{"train": "train[:2000]", "test": "validation"}``. With one for both, a tenth
            of its questions is held out.
        subset: the data set's configuration, such as ``main``. revision: a branch, tag or commit of it.
        question, answer, choices: the columns; ``a.b`` is the key ``b`` inside the column ``a``. A question may be a list of chat
            messages with one of the user. A choice is answered by its letter, its text, or its number from 0.
        answer_after: only what follows the last of this mark is the answer, such as ``####``.
        verifier: one of ``VERIFIERS``, or ``./my.py:f``, a function of response and example; ``auto`` chooses for each row.
        instruction: for the student, instead of the verifier's.
        columns: further columns for reward functions, kept in ``meta``.

    Raises:
        TaskError: for options that contradict each other.
    """
    if (hub is None) == (path is None):
        raise TaskError(
            "a task by columns needs either task.hub (a data set of the Hugging Face Hub) or task.path (a local file)"
        )
    if ":" in verifier:
        judge = checked_verify(find_function(verifier, "the verifier", TaskError), f"the verifier {verifier!r}")
        usual = own.INSTRUCTION
    elif verifier in VERIFIERS:
        judge, usual = VERIFIERS[verifier]
    else:
        raise TaskError(
            f"task.verifier: there is no verifier {verifier!r}{did_you_mean(verifier, VERIFIERS)}; one of {', '.join(VERIFIERS)}, "
            "or ./my.py:f"
        )
    if verifier == "choice" and choices is None:
        raise TaskError("task.verifier 'choice' needs task.choices, the column with the options of each question")
    if isinstance(columns, str) or not all(isinstance(c, str) for c in columns):
        raise TaskError(f"task.columns must be a list of columns, not {shown(columns)}")

    def example(row: Row) -> Example:
        meta = {column: _column(row, column, "columns") for column in columns}
        asked, gold = _question(row, question), _column(row, answer, "answer")
        if answer_after is not None:
            gold = _after(row, gold, answer_after, answer)
        if choices is not None and verifier in ("auto", "choice"):
            found = _with_choices(row, asked, _column(row, choices, "choices"), gold, answer)
        elif verifier == "yes_no" or (verifier == "auto" and _is_yes_no(gold)):
            word = YES_NO.get(str(gold).strip().casefold())
            if word is None:
                row.fail(f"column {answer!r} must be yes or no, not {shown(gold)}")
            found = Example(row.id, asked + (" Yes or no?" if verifier == "auto" else ""), word, {"kind": "yesno"})
        else:
            found = Example(row.id, asked, _text(row, gold, answer, verifier == "number"), {"kind": "math"})
        return Example(found.id, found.question, found.gold, {**meta, **found.meta})

    name = str(hub).rstrip("/").rpartition("/")[2] if hub is not None else "columns"
    source = Source(name, hub or "", subset, {}, (), revision)
    return Task(name, usual if instruction is None else instruction, loader(source, example, path, split), judge)


def _column(row: Row, column: str, key: str) -> Any:
    value: Any = row.data
    for step in [column] if column in row.data else column.split("."):
        if not isinstance(value, Mapping) or step not in value:
            known = list(map(str, value)) if isinstance(value, Mapping) else []
            row.fail(
                f"no column {column!r}{did_you_mean(step, known)}, which task.{key} names; "
                f"found {', '.join(map(str, row.data)) or 'none'}"
            )
        value = value[step]
    return value


def _question(row: Row, column: str) -> str:
    value = _column(row, column, "question")
    if isinstance(value, list) and value and all(isinstance(m, Mapping) and "content" in m for m in value):
        said = [m["content"] for m in value if m.get("role", "user") == "user"]
        if len(said) != 1 or any(m.get("role") == "assistant" for m in value):
            row.fail(f"column {column!r} is a conversation; only one with a single message of the user is a question")
        value = said[0]
    if not isinstance(value, str) or not value.strip():
        row.fail(f"column {column!r} must be a non-empty text, not {shown(value)}")
    return value.strip()


def _after(row: Row, value: Any, mark: str, column: str) -> str:
    _, found, gold = str(value).rpartition(mark)
    if not found or not gold.strip():
        row.fail(f"column {column!r} must have an answer after {mark!r}, not {shown(value)}")
    return gold.strip()


def _text(row: Row, value: Any, column: str, numeric: bool) -> str:
    if not isinstance(value, str | int | float) or isinstance(value, bool) or not str(value).strip() or value != value:
        row.fail(f"column {column!r} must be a text or a number, not {shown(value)}")
    text = str(value).strip()
    if numeric and number(tidy(plain(text))) is None:
        row.fail(
            f"column {column!r} must be a number for the verifier 'number', not {shown(value)}; use 'math' or task.answer_after"
        )
    return text


def _is_yes_no(value: Any) -> bool:
    return isinstance(value, bool) or (isinstance(value, str) and value.strip().casefold() in ("yes", "no"))


def _with_choices(row: Row, question: str, options: Any, answer: Any, column: str) -> Example:
    labels: list[Any] = []
    if isinstance(options, Mapping) and {"text", "label"} <= set(options):  # as in ARC
        options, labels = options["text"], list(options["label"])
    if not isinstance(options, list):
        row.fail(f"the choices must be a list of texts, not {shown(options)}")
    letters = _choice.LETTERS[: len(options)]
    if answer in labels:
        right = labels.index(answer)
    elif answer in options:
        right = options.index(answer)
    elif isinstance(answer, str) and len(answer.strip()) == 1 and answer.strip() in letters:
        right = letters.index(answer.strip())
    elif str(answer).isdecimal() and not isinstance(answer, bool) and int(answer) < len(options):
        right = int(answer)
    else:
        row.fail(
            f"column {column!r} must be one of the choices, a letter from A to {letters[-1:] or 'A'} or a number from 0, "
            f"not {shown(answer)}"
        )
    return lettered(row, question, options, right, {"kind": "choice"})
