"""AIME: competition problems by year, 30 a year since 2000; each answer is an integer from 000 to 999, leading zeros or not."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from thinklab.errors import TaskError
from thinklab.tasks._math import number, tidy, verify
from thinklab.tasks._rows import Row, Source, Where, loader, shown
from thinklab.tasks.base import Task
from thinklab.types import Example

# The Hub's copies call their only split "train"; it must not be trained on, so here it is the test split.
ONLY = {"test": "train"}
SOURCE = Source("aime", "HuggingFaceH4/aime_2024", None, ONLY, ("problem", "answer"))
RECENT = Source("aime", "AI-MO/aimo-validation-aime", None, ONLY, ("problem", "answer"))
"""90 problems of 2022 to 2024; their year is in the column ``url``."""
ALL = Source("aime", "gneubig/aime-1983-2024", None, ONLY, ("Question", "Answer", "Year"))
"""933 problems of 1983 to 2024."""
INSTRUCTION = "Reason step by step and put the final answer, an integer from 0 to 999, in \\boxed{}."
_IN_URL = re.compile(r"(?<!\d)((?:19|20)\d\d)_AIME")
_RANGE = re.compile(r"(\d{4})\s*-\s*(\d{4})")


def example(row: Row) -> Example:
    question, answer = ("Question", "Answer") if "Question" in row.data and "problem" not in row.data else ("problem", "answer")
    gold = str(row[answer]).strip()
    value = number(tidy(gold))
    if value is None or value.denominator != 1:
        row.fail(f"column {answer!r} must be an integer, not {shown(gold)}")
    return Example(row.id, row.text(question), str(value), {**row.extra("solution"), **_year(row)})


def _year(row: Row) -> dict[str, int]:
    """From the column ``year`` (``Year``), else from ``url``; empty if neither has it."""
    value = row.data.get("year", row.data.get("Year"))
    text = str(int(value)) if isinstance(value, float) and value.is_integer() else str(value).strip()
    found = re.fullmatch(r"(\d{4})", text) or _IN_URL.search(str(row.data.get("url", "")))
    return {"year": int(found[1])} if found else {}


def task(path: Where = None, split: Where = None, years: Any = None) -> Task:
    """The AIME task; it has a test split only.

    Args:
        years: a year, a list of years, or a range such as ``2022-2024``. None: 2024 from the Hub; with ``path``, every question of
            the file. From the Hub, years from 2022 on are read from a set of 90 problems, earlier ones from a set of 933.
    """
    wanted = _years(years)
    source = SOURCE
    if path is None and wanted and wanted != {2024}:
        source = RECENT if min(wanted) >= 2022 else ALL
    load = loader(source, example, path, split)

    def chosen(asked: str) -> Sequence[Example]:
        found = load(asked)
        return found if wanted is None else _of_years(found, wanted, str(path or source.hub))

    return Task("aime", INSTRUCTION, chosen, verify)


def _years(years: Any) -> frozenset[int] | None:
    if years is None:
        return None
    if isinstance(years, str) and (span := _RANGE.fullmatch(years.strip())) and int(span[1]) <= int(span[2]):
        return frozenset(range(int(span[1]), int(span[2]) + 1))
    found = list(years) if isinstance(years, list | tuple | range | set | frozenset) else [years]
    if not found or not all(type(y) is int and 1983 <= y < 10_000 for y in found):
        raise TaskError(
            f"the task 'aime' takes years such as 2024, [2022, 2023] or 2022-2024, the first AIME being of 1983, not {shown(years)}"
        )
    return frozenset(found)


def _of_years(found: Sequence[Example], wanted: frozenset[int], where: str) -> tuple[Example, ...]:
    there = sorted({e.meta["year"] for e in found if "year" in e.meta})
    if unknown := [e for e in found if "year" not in e.meta]:
        raise TaskError(
            f"{where}: {len(unknown)} of {len(found)} questions have no year, the first of them {unknown[0].id!r}; add a column "
            "'year', or remove task.years"
        )
    if missing := sorted(wanted - set(there)):
        raise TaskError(
            f"{where}: there are no questions of {_listed(missing)}, only of {_listed(there) or 'no year'}; change task.years, or "
            "pass task.path, a file with the columns problem, answer, year that has them"
        )
    return tuple(e for e in found if e.meta["year"] in wanted)


def _listed(years: Sequence[int]) -> str:
    return (
        f"{years[0]} to {years[-1]}" if len(years) > 3 and years[-1] - years[0] == len(years) - 1 else ", ".join(map(str, years))
    )
