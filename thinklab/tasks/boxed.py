"""Finding ``\\boxed{...}`` in text: braces may nest, a box that is never closed does not count."""
from __future__ import annotations

import re
from typing import NamedTuple


class Box(NamedTuple):
    start: int
    """Index of the backslash."""
    end: int
    """Index after the closing brace."""
    content: str


def boxes(text: str) -> list[Box]:
    """Every closed ``\\boxed{}`` or ``\\fbox{}`` in ``text``, in order; a box inside a box is part of the outer one."""
    found: list[Box] = []
    for match in re.finditer(r"\\f?box(?:ed)?\s*\{", text):
        if found and match.start() < found[-1].end:
            continue
        depth = 0
        for i in range(match.end() - 1, len(text)):
            depth += (text[i] == "{") - (text[i] == "}")
            if depth == 0:
                found.append(Box(match.start(), i + 1, text[match.end():i]))
                break
    return found


def boxed_answers(text: str) -> list[str]:
    """The contents of the boxes in ``text``, in order."""
    return [box.content for box in boxes(text)]
