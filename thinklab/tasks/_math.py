"""Mathematical answers: the ``final_answer`` of a response, cleaned (``tidy``), the ``same`` as the gold one?

What counts as the final answer: the last closed box; without any box the last ``#### N``; without that the last line
when it says ``A: N``, ``Answer: N`` or ``the answer is N``. Nothing is guessed from other numbers in the text.

Plain numbers are compared here, exactly; everything else goes to math-verify, in a process that can be stopped.
"""

from __future__ import annotations

import re
from fractions import Fraction

from thinklab.tasks._math_client import equal
from thinklab.tasks._number import plain, quantity
from thinklab.tasks._statements import doubted
from thinklab.tasks._units import agree, unit
from thinklab.tasks.boxed import boxed_answers
from thinklab.types import Example

LONGEST_RESPONSE = 50_000  # characters searched, from the end, where answers are
LONGEST_ANSWER = 500  # the longest gold answer in MATH has about 160; a longer text is not an answer

# A heading such as "#### Step 2" is not an answer, so no word at the beginning.
_HASHES = re.compile(r"^[ \t]*####[ \t]*(?![A-Za-z]{2})([^\s#][^\n]*)$", re.M)
_LAST_LINE = re.compile(r".*(?:(?:^|\b(?:final )?)answer(?: is)?\s*[:=]|\banswer is\b|^A\s*:)\s*(.+)$", re.I)
_WORDS = re.compile(r"(?=.*[^\W\d_]{4})[^\W\d_][^\d\\{}^_=+*/<>|$]*")
_BASED = re.compile(r"([0-9][0-9A-F]*)_\{?([0-9]+)\}?")
_NAMED_ZERO = re.compile(r"\\?[A-Za-z]\w*(?:\([^()]*\))? ?= ?0")
_FUNCTIONS = frozenset(
    "sin cos tan cot sec csc arcsin arccos arctan sinh cosh tanh log ln exp sqrt pi max min gcd lcm frac".split()
)
_RELATION = re.compile(r"\\(?:neq?|not|g(?:eq|e|t)|l(?:eq|e|t)|[gl]eqslant|neg|lnot|notin|ngtr|nless)\b|[<>]|!=")
_DENIED = re.compile(r"\\(?:neq?|not|neg|lnot|notin|ngtr|nless)\b|!=")
_ADDED = re.compile(r"(?:[.!]\s+|,?\s+(?=(?:because|since)\b)|,\s+(?=I (?:think|believe|am)\b))(?=[A-Za-z])(.*)", re.S)
_TAKEN_BACK = re.compile(
    r"\b(?:wait|no|not|actually|wrong|incorrect|mistake|but|or|rather|instead|unless|sorry|correction|doubt)\b|n['’]t\b|\?",
    re.I,
)


def final_answer(response: str, gold: str = "") -> str | None:
    """The text of the final answer, or None if the response has none in a recognized form.

    A box without an answer in it (``\\boxed{}``, ``\\boxed{...}``) is skipped, unless ``gold`` is exactly that.
    """
    tail = response[-LONGEST_RESPONSE:]
    if boxed := boxed_answers(tail, meant=(gold,)):
        return boxed[-1].strip()
    if hashes := _HASHES.findall(tail):
        return hashes[-1].strip()
    line = tail.rstrip().rsplit("\n", 1)[-1][-LONGEST_ANSWER:].strip().replace("**", "")
    match = _LAST_LINE.fullmatch(line)
    if match is None or doubted(line, match.start(1)) or doubted(line, _statement(line, match.start(1))):
        return None
    return match.group(1).strip()


def _statement(line: str, end: int) -> int:
    """Where the words "the answer is" in front of ``end`` begin."""
    return max(line.casefold().rfind("answer", 0, end), 0)


def tidy(answer: str) -> str:
    """The answer without typesetting: delimiters, spacing, ``\\text``, a final full stop."""
    answer = re.sub(r"\\[()\[\]]|\\?\$|\\[!,;: ]|~", lambda m: " " if m.group() in ("\\ ", "~") else "", answer)
    answer = re.sub(r"\\(?:text|textbf|mathrm|mathbf|textrm|mbox)\s*\{([^{}]*)\}", r" \1 ", answer)
    answer = answer.replace("{,}", ",").replace("\\left", "").replace("\\right", "").replace("\\dfrac", "\\frac")
    answer = " ".join(answer.replace("\\tfrac", "\\frac").split())
    return answer[:-1].rstrip() if answer.endswith(".") else answer


def number(answer: str) -> Fraction | None:
    """A normalized answer as an exact number, if it is one, with or without parentheses or a unit."""
    found = quantity(answer)
    return found.value if found else None


def same(answer: str, gold: str, question: str = "") -> bool:
    """True when the two answers are the same, mathematically. Never raises on any text, never takes over 5 s.

    Args:
        question: its nouns may follow a number as its unit.
    """
    if len(answer) > LONGEST_ANSWER:
        return False
    if _same(answer, gold, question):
        return True
    # "The answer is 6. I am sure.": additions are ignored, unless they retract the answer or give another
    added = _ADDED.search(answer)
    return bool(
        added
        and not re.search(r"\d|\\", added[1] if answer[added.start() :][:1] in ".!" else "")
        and not _TAKEN_BACK.search(added[1])
        and _same(answer[: added.start()], gold, question)
    )


def _same(answer: str, gold: str, question: str) -> bool:
    answer, gold = plain(answer), plain(gold)
    short, wanted = tidy(answer), tidy(gold)
    if _unspaced(short) == _unspaced(wanted):
        return bool(wanted)
    left = quantity(short, question, _has_dollars(answer))
    right = quantity(wanted, question, _has_dollars(gold))
    if right and right.value == 0 and "=" in short:  # "5x - 7y + 4 = 0" is an equation, "x = 0" an answer
        return bool(_NAMED_ZERO.fullmatch(short))
    if left and right:
        return left.equals(right)
    if _WORDS.fullmatch(wanted) or ("\\text" in gold and wanted.isalpha()):  # letters that are not factors
        return _article(short.strip("() ")) == _article(wanted)
    if answer.count("{") != answer.count("}"):
        return False
    # From here on: cases that math-verify 0.9 wrongly accepts as equal. Found in real answers or constructed.
    base = _BASED.fullmatch(wanted)
    if base or _BASED.fullmatch(short):  # 40_9 is not 40, but a question that names the base may get "40"
        return base is not None and short in (base[1], f"{base[1]}_{base[2]}", f"{base[1]}_{{{base[2]}}}")
    if _is_group(short) != _is_group(wanted):  # (-2, 1) is a point or an interval, "1, -2" two solutions
        return short.strip("()").replace(" ", "") == wanted.strip("()").replace(" ", "")
    if _claims_otherwise(short, wanted):
        return False
    short, wanted, units = (*_without_units(short, wanted, question),)
    return units and not _words_beyond(short, wanted) and equal(short, wanted)


def _unspaced(text: str) -> str:
    """Without spaces, except between two digits: "1 8" is not 18."""
    return re.sub(r"(?<![0-9]) +| +(?![0-9])", "", text)


def _has_dollars(text: str) -> bool:
    """A dollar sign for money, not the pair around a formula."""
    return "\\$" in text or bool(text.count("$") % 2)


def _article(text: str) -> str:
    return re.sub(r"^(?:an?|the) ", "", text.casefold().strip(" .!\"'"))


def _claims_otherwise(short: str, wanted: str) -> bool:
    r"""``\ne 72``, ``x \geq 72`` and ``\pm 3`` differ from 72 and 3; math-verify ignores the sign."""
    if bool(_RELATION.search(short)) and not _RELATION.search(wanted) and not _is_group(wanted) and "infty" not in wanted:
        return True
    if bool(_DENIED.search(short)) != bool(_DENIED.search(wanted)):
        return True
    return ("\\pm" in short) != ("\\pm" in wanted) and "," not in short + wanted and " and " not in short + wanted


def _without_units(short: str, wanted: str, question: str) -> tuple[str, str, bool]:
    r"""Both without a unit behind an expression (``3\pi cm``), and whether the units agree."""
    found = []
    for text in (short, wanted):
        parts = text.split(" ")
        for k in range(1, len(parts)):
            measure = " ".join(parts[k:])
            known = unit(measure, question) if re.search(r"[A-Za-z]{2}|°", measure) and "\\" not in measure else None
            if known:
                found.append((" ".join(parts[:k]), known))
                break
        else:
            found.append((text, frozenset()))
    (short, one), (wanted, other) = found
    return short, wanted, agree(one, other)


def _words_beyond(short: str, wanted: str) -> bool:
    """Whether the answer has a word that the gold answer lacks. math-verify would multiply its letters, or skip it."""
    letters = set(re.sub(r"\\[A-Za-z]+", "", wanted))
    listed = "," in wanted or " and " in wanted or " or " in wanted or "\\pm" in wanted
    for word in re.findall(r"[A-Za-z]{2,}", re.sub(r"\\[A-Za-z]+", " ", short)):
        if word in _FUNCTIONS or word in wanted or set(word) <= letters or (listed and word in ("and", "or")):
            continue
        return True
    return False


def _is_group(text: str) -> bool:
    return text[:1] in ("(", "[") and text[-1:] in (")", "]") and "," in text


def verify(response: str, example: Example) -> bool:
    """True when the response's final answer equals ``example.gold``."""
    answer = final_answer(response, example.gold)
    return answer is not None and same(answer, example.gold, example.question)
