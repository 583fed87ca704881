"""``world_check``, ``world_reflect``: rules of the ``scripted`` teacher for the task ``world``."""

from __future__ import annotations

import random

from thinklab.errors import TeacherError
from thinklab.tasks.boxed import boxed_answers
from thinklab.tasks.world.acts import ACTS, said_about
from thinklab.tasks.world.items import WorldItem, boxed, from_meta
from thinklab.teachers.rules import as_reply, chance
from thinklab.types import TeacherRequest

PREFIX = "world-"
"""Of the behaviors whose detectors recognize an act: ``world-conflict`` asks for the act ``self-conflict``."""


def world_check(request: TeacherRequest, *, wrong_share: float = 0.0, seed: int = 0) -> str | None:
    """Works the question again step by step, as ``sums-check`` does: ``I check: 25+7=32. 32>40? no. So \\boxed{no}.``"""
    return _reply(request, "world-check", "self-check", wrong_share, seed)


def world_reflect(request: TeacherRequest, *, wrong_share: float = 0.0, seed: int = 0) -> str | None:
    """The act that the behavior is named after (``world-conflict``, ``world-critique``, ``world-agreement``, ``world-consultancy``,
    ``self-check``); any other behavior leaves the choice to the teacher.

    It then agrees with an answer that it believes right, and takes one of the other three for a wrong one, by the request's id. Asked
    for agreement with an answer that it believes wrong, or for the fault of one that it believes right, it stays silent:
    there is no such act.
    """
    act = f"self-{request.behavior.removeprefix(PREFIX).removeprefix('self-')}"
    return _reply(request, "world-reflect", act if act in ACTS else "", wrong_share, seed)


def _reply(request: TeacherRequest, rule: str, act: str, wrong_share: float, seed: int) -> str | None:
    item = _item(request, rule)
    boxes = boxed_answers(request.response, meant=(request.example.gold, *request.example.meta.get("choices", ())))
    said = boxes[-1].strip() if boxes else ""
    right, taught = _verdict(request, item, said, wrong_share, seed)
    if not act:
        fits = ["self-agreement"] if right else ["self-conflict", "self-critique", "self-consultancy"]
        act = random.Random(f"{seed} choice {request.id}").choice(fits)
    wants = {"self-agreement": right, "self-critique": not right, "self-conflict": item.possible(said)}
    if not wants.get(act, True):
        return None
    other = taught if taught != said else item.other(random.Random(f"{seed} other {request.id}"), said)
    return as_reply(right, said_about(act, item, said, taught, request.response, other), boxed(taught))


def _verdict(request: TeacherRequest, item: WorldItem, said: str, wrong_share: float, seed: int) -> tuple[bool, str]:
    """(does the teacher call the answer right, the answer it teaches)."""
    right = said == item.gold
    if not chance(request, wrong_share, "wrong_share", seed):
        return right, item.gold
    rng = random.Random(f"{seed} slip {request.id}")
    if not right and item.possible(said):
        return True, said
    return False, item.other(rng, item.gold)


def _item(request: TeacherRequest, rule: str) -> WorldItem:
    try:
        return from_meta(request.example.question, request.example.meta)
    except (KeyError, TypeError):
        raise TeacherError(
            f"the rule {rule!r} needs a question of the task 'world'; the example {request.example.id!r} is none: its meta has "
            f"{', '.join(map(str, request.example.meta)) or 'nothing'}"
        ) from None
