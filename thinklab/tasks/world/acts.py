"""``said_about``: what somebody says about an answer: a check, and the paper's four reflections as *acts*.

    self-check        I check: 25+7=32. 32+6=38. So \\boxed{38}.                          works it again
    self-conflict     Wait, is it 48 or 38? 25+7=32. 32+6=38. It is 38, not 48. ...       another answer, and decides between the two
    self-critique     Where is the fault? 25+7=32. 32+6=38. The fault is in 32+6=48:
                      it is 38. ...                                                       locates the fault
    self-agreement    Once more: 25+7=32. 32+6=38. It is the same. ...                    confirms
    self-consultancy  Another way: 25+6=31. 31+7=38. ...                                  a second method

In the corpus they are about other people's answers; the scripted teacher says them about the student's own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from thinklab.tasks.world.items import Step, WorldItem, as_text

BEGIN = {
    "self-check": "I check:",
    "self-conflict": "Wait, is it",
    "self-critique": "Where is the fault?",
    "self-agreement": "Once more:",
    "self-consultancy": "Another way:",
}
"""How each act begins."""
ACTS = tuple(BEGIN)


def said_about(act: str, item: WorldItem, said: str, taught: str, response: str = "", other: str = "") -> str:
    """The act in words, without the boxed answer that follows it.

    Args:
        said: the answer that it is about. taught: the answer that it arrives at; a wrong one in the mouth of a wrong teacher.
        response: the text that it is about; ``self-critique`` looks for the fault there.
        other: the answer that ``self-conflict`` proposes beside ``said``.
    """
    return f"{BEGIN[act]} {_ACTS[act](item, said, taught, response, other)}"


def located(item: WorldItem, steps: Sequence[Step], response: str) -> int | None:
    """The index of the first of ``steps`` that ``response`` takes with another result; None if it takes none of them wrongly."""
    for k, step in enumerate(steps):
        found = re.search(rf"(?<![\w+-]){re.escape(step.left)}(\w+)\b", response)
        if found is None:
            return None
        if found[1] != step.right:
            return k
    return None


def _worked(item: WorldItem, taught: str) -> list[Step]:
    return item.steps(None if taught == item.gold else taught)


def _check(item: WorldItem, said: str, taught: str, response: str, other: str) -> str:
    return as_text(_worked(item, taught))


def _conflict(item: WorldItem, said: str, taught: str, response: str, other: str) -> str:
    rejected = said if taught != said else other
    return f"{said} or {other}? {as_text(_worked(item, taught))} It is {taught}, not {rejected}."


def _critique(item: WorldItem, said: str, taught: str, response: str, other: str) -> str:
    steps = _worked(item, taught)
    if taught == said:
        return f"{as_text(steps)} There is none."
    at = located(item, steps, response)
    if at is None:
        return f"{as_text(steps)} The fault is in {item.claim(said).text[:-1]}: it is {taught}."
    wrong = re.search(rf"(?<![\w+-]){re.escape(steps[at].left)}(\w+)", response)
    assert wrong is not None, "located there"
    parts = [
        as_text(steps[: at + 1]),
        f"The fault is in {steps[at].left}{wrong[1]}: it is {steps[at].right}.",
        as_text(steps[at + 1 :]),
    ]
    return " ".join(filter(None, parts))


def _agreement(item: WorldItem, said: str, taught: str, response: str, other: str) -> str:
    return f"{as_text(_worked(item, taught))} It is {'the same' if taught == said else 'not the same'}."


def _consultancy(item: WorldItem, said: str, taught: str, response: str, other: str) -> str:
    return as_text(item.second(None if taught == item.gold else taught, said))


_ACTS: dict[str, Callable[[WorldItem, str, str, str, str], str]] = {
    "self-check": _check,
    "self-conflict": _conflict,
    "self-critique": _critique,
    "self-agreement": _agreement,
    "self-consultancy": _consultancy,
}
