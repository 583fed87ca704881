"""Finding ``\\boxed{...}`` in text: braces may nest, a box that is never closed does not count."""
from __future__ import annotations

import re
from typing import NamedTuple

# A box opens, an escaped brace (a set, not a group; `\\{` is a line break and a group), a brace.
_TOKEN = re.compile(r"\\(?:f?box(?:ed)?|framebox)\s*\{|(?<!\\)\\[{}]|[{}]")


class Box(NamedTuple):
    start: int
    """Index of the backslash."""
    end: int
    """Index after the closing brace."""
    content: str


def boxes(text: str) -> list[Box]:
    """Every closed ``\\boxed{}``, ``\\fbox{}`` or ``\\framebox{}`` in ``text``, in order.

    A box inside a box is part of the outer one. Linear in the length of ``text``, whatever it holds.
    """
    found: list[Box] = []
    open_braces: list[tuple[int, int] | None] = []    # (start, start of the content) for a box, None for a plain brace
    for match in _TOKEN.finditer(text):
        token = match.group()
        if token == "{":
            open_braces.append(None)
        elif token[-1] == "{" and len(token) > 2:
            open_braces.append((match.start(), match.end()))
        elif token == "}" and open_braces:
            opened = open_braces.pop()
            if opened is not None:
                start, inside = opened
                while found and found[-1].start > start:
                    found.pop()
                found.append(Box(start, match.end(), text[inside:match.start()]))
    return found


def boxed_answers(text: str) -> list[str]:
    """The contents of the boxes in ``text``, in order."""
    return [box.content for box in boxes(text)]
