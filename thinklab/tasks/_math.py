"""Is the mathematics right? Finds the final answer in a response and compares it with the gold one.

What counts as the final answer: the last closed box; without any box the last ``#### N``; without that the last line
when it says ``A: N``, ``Answer: N`` or ``the answer is N``. Nothing is guessed from other numbers in the text.

Plain numbers are compared here, exactly; everything else goes to math-verify, in a process that can be stopped.
"""
from __future__ import annotations

import re
from fractions import Fraction

from thinklab.tasks._math_client import equal
from thinklab.tasks.boxed import boxed_answers
from thinklab.types import Example

LONGEST_RESPONSE = 50_000  # characters looked at, from the end: answers stand there
LONGEST_ANSWER = 500       # the longest gold answer in MATH has some 160; a longer text is no answer

# A heading such as "#### Step 2" is no answer, hence no word at the beginning.
_HASHES = re.compile(r"^[ \t]*####[ \t]*(?![A-Za-z]{2})([^\s#][^\n]*)$", re.M)
_LAST_LINE = re.compile(r".*(?:(?:^|\b(?:final )?)answer(?: is)?\s*[:=]|\banswer is\b|^A\s*:)\s*(.+)$", re.I)
_NUMBER = re.compile(r"([-+]?)\$?([0-9]{1,3}(?:,[0-9]{3})+|[0-9]{1,30})?(\.[0-9]{1,6})?")
_WORDS = re.compile(r"(?=.*[^\W\d_]{4})[^\W\d_][^\d\\{}^_=+*/<>|$]*")
_BASED = re.compile(r"([0-9][0-9A-F]*)_\{?([0-9]+)\}?")
_NAMED_ZERO = re.compile(r"\\?[A-Za-z]\w*(?:\([^()]*\))? ?= ?0")
# "18 eggs per day" is 18; "18 x", "18 million", "18 and a half" are not
_UNIT = re.compile(r"(?<=[0-9])(?: +(?!and\b|or\b|to\b|hundred|thousand|million|billion|trillion|dozen|half|point"
                   r"|times)[A-Za-z]{2,20}\b){1,6}$")


def final_answer(response: str, gold: str = "") -> str | None:
    """The text of the final answer, or None where the response gives none in a form that counts.

    A box without an answer in it (``\\boxed{}``, ``\\boxed{...}``) is passed over, unless ``gold`` is just that.
    """
    tail = response[-LONGEST_RESPONSE:]
    if boxed := boxed_answers(tail, meant=(gold,)):
        return boxed[-1].strip()
    if hashes := _HASHES.findall(tail):
        return hashes[-1].strip()
    lines = tail.rstrip().rsplit("\n", 1)
    match = _LAST_LINE.fullmatch(lines[-1][-LONGEST_ANSWER:].strip().replace("**", ""))
    return match.group(1).strip() if match else None


def tidy(answer: str) -> str:
    """The answer without what only typesets it: delimiters, spacing, ``\\text``, a final full stop."""
    answer = re.sub(r"\\[()\[\]]|\\?\$|\\[!,;: ]|~", lambda m: " " if m.group() in ("\\ ", "~") else "", answer)
    answer = re.sub(r"\\(?:text|textbf|mathrm|mathbf|textrm|mbox)\s*\{([^{}]*)\}", r" \1 ", answer)
    answer = answer.replace("{,}", ",").replace("\\left", "").replace("\\right", "").replace("\\dfrac", "\\frac")
    answer = " ".join(answer.replace("\\tfrac", "\\frac").split())
    return answer[:-1].rstrip() if answer.endswith(".") else answer


def number(answer: str) -> Fraction | None:
    """A tidy answer as an exact number where it is one, with or without parentheses or a unit in words after it."""
    bare = answer[1:-1].strip() if answer[:1] == "(" and answer[-1:] == ")" else answer
    match = _NUMBER.fullmatch(_UNIT.sub("", bare))
    if not match or not (match[2] or match[3]):
        return None
    value = Fraction((match[2] or "0").replace(",", "") + (match[3] or ""))
    return -value if match[1] == "-" else value


def same(answer: str, gold: str) -> bool:
    """True when the two answers are the same, mathematically. Never raises on any text, never takes over 5 s."""
    if len(answer) > LONGEST_ANSWER:
        return False
    short, wanted = tidy(answer), tidy(gold)
    if short.replace(" ", "") == wanted.replace(" ", ""):
        return bool(wanted)
    left, right = number(short), number(wanted)
    if left is not None and right is not None:
        return left == right
    if _WORDS.fullmatch(wanted) or ("\\text" in gold and wanted.isalpha()):       # letters that are no factors
        return short.strip("() ").casefold() == wanted.casefold()
    if answer.count("{") != answer.count("}"):
        return False
    # From here on: what math-verify 0.9 takes for equal and is not. Each was met among MATH's own answers.
    base = _BASED.fullmatch(wanted)
    if base or _BASED.fullmatch(short):              # 40_9 is not 40, but a question that names the base may get "40"
        return bool(base) and short in (base[1], f"{base[1]}_{base[2]}", f"{base[1]}_{{{base[2]}}}")
    if right == 0 and "=" in short:                  # "5x - 7y + 4 = 0" is an equation, "x = 0" an answer
        return bool(_NAMED_ZERO.fullmatch(short))
    if _is_group(short) != _is_group(wanted):        # (-2, 1) is a point or an interval, "1, -2" two solutions
        return short.strip("()").replace(" ", "") == wanted.strip("()").replace(" ", "")
    return equal(answer, gold)


def _is_group(text: str) -> bool:
    return text[:1] in ("(", "[") and text[-1:] in (")", "]") and "," in text


def verify(response: str, example: Example) -> bool:
    """True when the response's final answer equals ``example.gold``."""
    answer = final_answer(response, example.gold)
    return answer is not None and same(answer, example.gold)
