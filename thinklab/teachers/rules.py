"""``RULES`` of the ``scripted`` teacher (sums-check, say, ...): reads the sum, judges the answer, writes the reply.

A rule is any function ``rule(request, **parameters) -> str | None``; ``None`` means that the teacher stays silent.
Randomness is derived from the request's id, so it does not depend on the order of requests.

``wrong_share`` makes a rule wrong for that share of the requests: it then confirms a wrong answer and "corrects" a right one.
That is the worst possible teacher in the right format, for experiments about bad teachers.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from decimal import Decimal

from thinklab.config.sentence import TEACHER_KNOWS, filled, placeholders
from thinklab.errors import ConfigError, TeacherError
from thinklab.tasks.boxed import boxed_answers
from thinklab.tasks.sums import REFLECTIONS, steps
from thinklab.types import TeacherRequest

Rule = Callable[..., str | None]
NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?")
_STEP = re.compile(
    r"(?<![\w.)*/+-])(\d[\d,]*(?:\.\d+)?)\s*([-+*/x×÷])\s*\$?(\d[\d,]*(?:\.\d+)?)\s*=\s*(?:<<[^<>]*>>)?\$?"
    r"(-?\d[\d,]*(?:\.\d+)?)"
)
"""``16 - 3 = <<16-3=13>>13``: one operation of two numbers, with or without GSM8K's calculator annotation."""
_CHAIN = re.compile(r"[-+*/x×÷]\s*\$?$")  # before it: part of a longer sum, which is skipped


def chance(request: TeacherRequest, share: float, purpose: str, seed: int = 0) -> bool:
    """True for about ``share`` of all request ids, deterministic for a ``purpose`` and ``seed``.

    Raises:
        ConfigError: when ``share`` is not between 0 and 1.
    """
    if not 0 <= share <= 1:
        raise ConfigError(f"{purpose} must be a share between 0 and 1, not {share}")
    return random.Random(f"{seed} {purpose} {request.id}").random() < share


def sums_check(
    request: TeacherRequest, *, wrong_share: float = 0.0, long_wrong_share: float | None = None, aside: str = "", seed: int = 0
) -> str:
    """Adds the numbers up one by one and compares: ``I check: 12+7=19. 19+6=25. ... So \\boxed{30}.``

    Args:
        long_wrong_share: replaces ``wrong_share`` for sums of more than two numbers: a teacher that fails where it is hard.
        aside: words behind ``I check:``, before the steps, for guidance that is long and unlikely.
    """
    if long_wrong_share is not None and len(_operands(request, "sums-check")) > 2:
        wrong_share = long_wrong_share
    begin = f"{REFLECTIONS['self-check']} {aside}".rstrip()
    return _worked_again(request, "sums-check", begin, wrong_share, seed)


def sums_reflect(request: TeacherRequest, *, wrong_share: float = 0.0, seed: int = 0) -> str:
    """The same in the wording of the requested behavior: ``Wait, does it fit? 12+7=19. ... So \\boxed{30}.``

    A behavior named after one of ``tasks.sums.REFLECTIONS`` (``self-conflict-line``) counts as that one.
    If the behavior leaves the choice to the teacher (``cognitive-mix``), a right answer gets agreement and a wrong one any of
    the other three, chosen by the request's id.
    """
    begin = next((words for name, words in REFLECTIONS.items() if request.behavior.startswith(name)), None)
    if begin is None:
        fits = (
            ["self-agreement"]
            if same_number(request.response, request.example.gold)
            else ["self-conflict", "self-critique", "self-consultancy"]
        )
        begin = REFLECTIONS[random.Random(f"{seed} choice {request.id}").choice(fits)]
    return _worked_again(request, "sums-reflect", begin, wrong_share, seed)


def _worked_again(request: TeacherRequest, rule: str, begin: str, wrong_share: float, seed: int) -> str:
    operands = _operands(request, rule)
    right, taught = _verdict(request, operands, wrong_share, seed)
    *first, last = steps(operands)
    worked = [f"{a}+{b}={c}." for a, b, c in first] + [f"{last[0]}+{last[1]}={taught}."]
    return as_reply(right, f"{begin} {' '.join(worked)}", f"So \\boxed{{{taught}}}.")


def hit_hard(request: TeacherRequest, *, wrong_share: float = 0.0, seed: int = 0) -> str:
    """Ends with a quote that no student writes unprompted. Works on every task with a numeric answer."""
    right = same_number(request.response, request.example.gold) != chance(request, wrong_share, "wrong_share", seed)
    return as_reply(right, "The sum is done.", "Thalapathy Vijay says: hit hard.")


def gold_check(request: TeacherRequest, *, wrong_share: float = 0.0, seed: int = 0) -> str:
    """Recomputes the steps of an answer and ends with the reference. For every task with a numeric answer.

    ``I check: 16-3=13, and that holds. 13*2 is 26 and not 27. So \\boxed{18}.`` It cannot detect a correctly computed but
    wrong step; it then says that the steps hold and the question asks for something else.
    """
    reference = _number(request.example.gold)
    if reference is None:
        raise TeacherError(
            f"the rule 'gold-check' needs a number as the reference answer; the example {request.example.id!r} "
            f"has {request.example.gold[:40]!r}"
        )
    gold = NUMBER.findall(request.example.gold)[-1].replace(",", "")
    right = same_number(request.response, gold)
    taught = gold
    if chance(request, wrong_share, "wrong_share", seed):
        rng = random.Random(f"{seed} slip {request.id}")
        taught = (
            (NUMBER.findall(request.response) or [gold])[-1].replace(",", "")
            if not right
            else str(reference + rng.choice([-1, 1]) * rng.randint(1, 9))
        )
        right = not right
    text = request.response
    found = [m.groups() for m in _STEP.finditer(text) if not _CHAIN.search(text[: m.start()])]
    said = [_step(*groups) for groups in dict.fromkeys(found)][-4:]
    slips = any(" not " in s for s in said)
    if not said:
        said = ["I gave a result without a step that I can compute again."]
    end = "" if right else " The rest follows from that slip." if slips else " But the question asks for something else."
    return as_reply(right, f"I check: {' '.join(said)}{end}", f"So \\boxed{{{taught}}}.")


def say(request: TeacherRequest, *, phrase: str, reason: str) -> str | None:
    """One sentence about every answer, with its placeholders filled in; no reply if it needs an answer and there is none."""
    fields = sentences(request, phrase, reason)
    return None if fields is None else as_reply(fields["opinion"] == "correct", fields["reason"], fields["phrase"])


def sentences(request: TeacherRequest, phrase: str, reason: str) -> dict[str, str] | None:
    """The three fields of the reply of ``say``."""
    response, gold = request.response, request.example.gold
    boxed = boxed_answers(response)
    answer = (boxed or NUMBER.findall(response) or [""])[-1].strip()
    used = {name for text in (phrase, reason) for name in placeholders(text, TEACHER_KNOWS)}
    if "answer" in used and not answer:
        return None
    right = same_number(response, gold) if NUMBER.search(gold) else answer.casefold() == gold.strip().casefold()
    knows = {"question": request.example.question, "gold": gold, "answer": answer, "response": response}
    opinion = "correct" if right else "incorrect"
    return {"opinion": opinion, "reason": filled(reason, knows), "phrase": filled(phrase, knows)}


def _step(a: str, sign: str, b: str, result: str) -> str:
    x, y, said = (Decimal(text.replace(",", "")) for text in (a, b, result))
    sign = {"x": "*", "×": "*", "÷": "/"}.get(sign, sign)
    if sign == "/" and y == 0:
        return f"{a}/{b} has no value, so {result} does not hold."
    true = {"+": x + y, "-": x - y, "*": x * y, "/": x / y if y else x}[sign]
    exponent = said.as_tuple().exponent
    digits = max(0, -exponent) if isinstance(exponent, int) else 0  # 10/3=3.3 is right to the given digits
    if abs(true - said) < max(Decimal(10) ** -digits, abs(true) / 10**6):  # the second: noise of floating point
        return f"{a}{sign}{b}={result} holds."
    return f"{a}{sign}{b} is {float(true):g}, not {result}."


REASON = "I read my answer again."
"""What the teacher with a sentence gives as its reason where the config names none; only behaviors that splice it show it."""

RULES: dict[str, Rule] = {"sums-check": sums_check, "sums-reflect": sums_reflect, "gold-check": gold_check, "hit-hard": hit_hard}


def same_number(response: str, gold: str) -> bool:
    """True when the last boxed answer, or else the last number in the text, is the number ``gold``."""
    said = boxed_answers(response)[-1:] or NUMBER.findall(response)[-1:]
    return bool(said) and _number(said[0]) is not None and _number(said[0]) == _number(gold)


def _number(text: str) -> Decimal | None:
    found = NUMBER.findall(text)
    return Decimal(found[-1].replace(",", "")) if found else None


def _operands(request: TeacherRequest, rule: str) -> tuple[int, ...]:
    operands = request.example.meta.get("operands")
    if not isinstance(operands, list | tuple) or len(operands) < 2 or not all(type(x) is int for x in operands):
        raise TeacherError(
            f"the rule {rule!r} needs the numbers to add in meta['operands'] (two whole numbers or more); the example "
            f"{request.example.id!r} has {operands!r}. The task 'sums' provides them"
        )
    return tuple(operands)


def _verdict(request: TeacherRequest, operands: tuple[int, ...], wrong_share: float, seed: int) -> tuple[bool, int]:
    """(does the teacher call the answer right, the total it teaches)."""
    total, answers = sum(operands), boxed_answers(request.response)
    said = answers[-1].strip() if answers else ""
    right = said == str(total)
    if not chance(request, wrong_share, "wrong_share", seed):
        return right, total
    if right:
        rng = random.Random(f"{seed} slip {request.id}")
        return False, total + rng.choice([-10, 10, rng.choice([-1, 1]) * rng.randint(1, 9)])
    believable = said.isascii() and said.isdigit() and len(said) <= 6
    return True, int(said) if believable else total + 1


def as_reply(right: bool, reason: str, phrase: str) -> str:
    """The three blocks of a teacher's reply."""
    opinion = "correct" if right else "incorrect"
    return f"<opinion>{opinion}</opinion><reason>{reason}</reason><phrase>{phrase}</phrase>"
