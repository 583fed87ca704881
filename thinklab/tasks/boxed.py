r"""``boxes``, ``boxed_answers``: finds ``\boxed{...}`` in text; braces may nest; an unclosed one does not count.

Neither does a box that holds no answer (``_placeholders``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from thinklab.tasks._placeholders import WRAPPING, placeholder

# A box opens, an escaped brace (a set, not a group; `\\{` is a line break and a group), a brace; or a box without braces,
# such as \boxed 6, whose content must be closed off by what follows.
_TOKEN = re.compile(
    r"\\(?:f?box(?:ed)?|framebox)\s*\{|(?<!\\)\\[{}]|[{}]|\\(?:fbox|boxed|framebox)(?:\s+|(?=\d))"
    r"(?P<bare>[-+]?\$?(?:\d[\d,]*)?(?:\.\d+|\d)(?![\w{^/])|[A-Z](?=\s*(?:[.$)\n]|\Z))|(?i:yes|no|true|false)\b)"
)


class Box(NamedTuple):
    start: int
    """Index of the backslash."""
    end: int
    """Index after the closing brace."""
    content: str


def boxes(text: str, meant: Iterable[str] = ()) -> list[Box]:
    r"""Every closed ``\boxed{}``, ``\fbox{}`` or ``\framebox{}`` in ``text`` that contains an answer, in order.

    A box inside a box is part of the outer one. ``\boxed 6`` is a box as well. Always linear in the length of
    ``text``.

    Args:
        meant: answers that are possible here although they look like placeholders, such as an option "number".
    """
    found: list[Box] = []
    open_braces: list[tuple[int, int] | None] = []  # (start, start of the content) for a box, None for a plain brace
    for match in _TOKEN.finditer(text):
        token = match.group()
        if match["bare"]:
            found.append(Box(match.start(), match.end(), match["bare"]))
        elif token == "{":
            open_braces.append(None)
        elif token[-1] == "{" and len(token) > 2:
            open_braces.append((match.start(), match.end()))
        elif token == "}" and open_braces:
            opened = open_braces.pop()
            if opened is not None:
                start, inside = opened
                while found and found[-1].start > start:
                    found.pop()
                found.append(Box(start, match.end(), text[inside : match.start()]))
    real = {m.strip().casefold() for m in meant} - {""}
    return [box for box in found if not placeholder(box.content) or _bare(box.content) in real]


def _bare(content: str) -> str:
    return re.sub(r"[{}$]", "", WRAPPING.sub("", content)).strip(" .").casefold()


def boxed_answers(text: str, meant: Iterable[str] = ()) -> list[str]:
    """The contents of the boxes in ``text``, in order; ``meant`` as in ``boxes``."""
    return [box.content for box in boxes(text, meant)]
