r"""Boxes that hold no answer: ``\boxed{}``, ``\boxed{...}``, ``\boxed{your answer}``.

Students repeat the instruction ("I have put it in \boxed{} as I was asked to"), and such a box after a correct answer must not
hide it.
"""

from __future__ import annotations

import re

WRAPPING = re.compile(r"\\(?:text|textbf|textit|textrm|texttt|emph|mathrm|mathbf|mathit|mbox|underline|hspace|phantom)\b\*?")
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
NO_ANSWER_AHEAD = rf"(?!\s*(?:{WRAPPING.pattern}|[{{<\[(\s])*(?:{_NO_ANSWER.pattern}\}}|(?i:{_NAMES.pattern})[\s.}}>\])]*\}}))"
"""The same as a pattern, for programs that read a box by one: put it right after the opening brace."""


def placeholder(content: str) -> bool:
    """True for box content that is not an answer: nothing, dots, a blank, or a placeholder word."""
    if len(content) > 200:
        return False
    bare = WRAPPING.sub("", content)
    words = " ".join(re.sub(r"[\s.…_~$<>()\[\]{}\"'`:\\]+", " ", bare).split())
    return bool(_NO_ANSWER.fullmatch(bare) or _NAMES.fullmatch(words))
