r"""Finding ``\boxed{...}`` in text: braces may nest, a box that is never closed does not count.

Neither does a box that holds no answer: ``\boxed{}``, ``\boxed{...}``, ``\boxed{your answer}``. Students repeat the
instruction ("I have put it in \boxed{} as I was asked to"), and such a box behind a right answer must not hide it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

# A box opens, an escaped brace (a set, not a group; `\\{` is a line break and a group), a brace; or a box without braces,
# such as \boxed 6, whose content must be closed off by what follows.
_TOKEN = re.compile(
    r"\\(?:f?box(?:ed)?|framebox)\s*\{|(?<!\\)\\[{}]|[{}]|\\(?:fbox|boxed|framebox)(?:\s+|(?=\d))"
    r"(?P<bare>[-+]?\$?(?:\d[\d,]*)?(?:\.\d+|\d)(?![\w{^/])|[A-Z](?=\s*(?:[.$)\n]|\Z))|(?i:yes|no|true|false)\b)"
)

_WRAPPING = re.compile(r"\\(?:text|textbf|textit|textrm|texttt|emph|mathrm|mathbf|mathit|mbox|underline|hspace|phantom)\b\*?")
_NO_ANSWER = re.compile(
    r"(?:[\s.…?_*·~$\-–—<>()\[\]{}\"'`:]|\\[,;:!_ $]|\\(?:[lcdv]?dots[bcimo]?|q?quad|square|Box|cdot|bullet)\b)*"
)
_NAMES = re.compile(
    r"(?:(?:insert|put|write|place|enter|give|state) )?(?:(?:the|your|my|a|an|its|our|this|that|final|correct|right|"
    r"numeric|numerical|exact|single|one|actual) )*(?:answer|result|number|letter|solution|value|option|choice|response|"
    r"integer|expression)(?: (?:goes|letter|choice|option|here|only|value|number))*"
    r"|here|x{2,}|yes ?(?:or|/) ?no|true ?(?:or|/) ?false",
    re.I,
)
NO_ANSWER_AHEAD = rf"(?!\s*(?:{_WRAPPING.pattern}|[{{<\[(\s])*(?:{_NO_ANSWER.pattern}\}}|(?i:{_NAMES.pattern})[\s.}}>\])]*\}}))"
"""The same as a pattern, for programs that read a box by one: put it right after the opening brace."""


class Box(NamedTuple):
    start: int
    """Index of the backslash."""
    end: int
    """Index after the closing brace."""
    content: str


def placeholder(content: str) -> bool:
    """True for what stands in a box without being an answer: nothing, dots, a blank, or the word for what belongs there."""
    if len(content) > 200:
        return False
    bare = _WRAPPING.sub("", content)
    words = " ".join(re.sub(r"[\s.…_~$<>()\[\]{}\"'`:\\]+", " ", bare).split())
    return bool(_NO_ANSWER.fullmatch(bare) or _NAMES.fullmatch(words))


def boxes(text: str, meant: Iterable[str] = ()) -> list[Box]:
    r"""Every closed ``\boxed{}``, ``\fbox{}`` or ``\framebox{}`` in ``text`` that holds an answer, in order.

    A box inside a box is part of the outer one. ``\boxed 6`` is a box as well. Linear in the length of ``text``,
    whatever it holds.

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
    return re.sub(r"[{}$]", "", _WRAPPING.sub("", content)).strip(" .").casefold()


def boxed_answers(text: str, meant: Iterable[str] = ()) -> list[str]:
    """The contents of the boxes in ``text``, in order; ``meant`` as in ``boxes``."""
    return [box.content for box in boxes(text, meant)]
