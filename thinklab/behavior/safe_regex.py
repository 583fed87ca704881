"""``compile_pattern``: patterns written by users, with a time limit (the ``regex`` module) and a limit of size."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

import regex

from thinklab.errors import BehaviorError

MAX_PATTERN_WEIGHT = 20_000


def join_patterns(patterns: list[str]) -> str:
    """One pattern that matches any of them; the leftmost match counts, and matches do not overlap."""
    return patterns[0] if len(patterns) == 1 else "|".join(f"(?:{pattern})" for pattern in patterns)


@lru_cache(maxsize=256)
def compile_pattern(pattern: str, ignore_case: bool = False) -> Any:
    """``pattern`` as compiled by the ``regex`` module.

    Raises:
        BehaviorError: it is not a pattern, matches the empty text, or would take gigabytes to compile.
    """
    if _weight(pattern) > MAX_PATTERN_WEIGHT:
        raise BehaviorError(f"the pattern repeats too much ({{n}} inside {{m}}); at most {MAX_PATTERN_WEIGHT} in all")
    try:
        compiled = regex.compile(pattern, regex.IGNORECASE if ignore_case else 0)
        empty = compiled.fullmatch("", timeout=1.0)
    except Exception as err:  # the compiler fails in many ways: its own error, RecursionError, KeyError ...
        reason = " ".join(str(err).split())[:200] or type(err).__name__
        raise BehaviorError(f"not a regular expression: {reason}") from None
    if empty:
        raise BehaviorError(
            "the pattern matches the empty text, so it would match everywhere; make at least one character mandatory"
        )
    return compiled


def _weight(pattern: str) -> int:
    """Roughly the size of the compiled pattern: what ``{n,m}`` repeats counts max(n, m) times, nested ones multiply."""
    stack, last = [0], 0  # sizes of the open groups; size of the previous element
    for token in re.finditer(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\{(\d*),?(\d*)\}|.", pattern, re.DOTALL):
        text = token.group()
        if text == "(":
            stack.append(0)
        elif text == ")" and len(stack) > 1:
            last = stack.pop() + 1
            stack[-1] += last
        elif text.startswith("{") and len(text) > 1:
            times = max([1, *(int(n) for n in token.groups() if n)])
            stack[-1] += last * (times - 1)
            last *= times
        else:
            last = 1
            stack[-1] += 1
    return sum(stack)
