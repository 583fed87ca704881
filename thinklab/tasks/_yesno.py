"""Verifies yes/no answers (``yes``, ``true``, ``no``, ``false``), corrections included; nothing is guessed.

The last closed box counts; without one, the last "the answer is ..." or "Answer: ..."; without that, a yes or no that
is all of the last line; without that, the word that opens the first line.
"""

from __future__ import annotations

import re

from thinklab.tasks._choice import normal
from thinklab.tasks._number import plain
from thinklab.tasks._statements import asked, doubted, payloads, refuses, window
from thinklab.tasks.boxed import boxes
from thinklab.types import Example

WORDS = {"yes": True, "true": True, "no": False, "false": False}
_OPENS = re.compile(
    r"[\s\"'“‘(\[{$\\]*(?:(?:so|thus|therefore|hence|well|probably|definitely|clearly)[\s,]+)*"
    r"(yes|no|true|false)\b(?![-/]|['’]\w)(?!\s*(?:or|one|idea|doubt|matter|question|way to)\b)",
    re.I,
)


_JUDGED = re.compile(
    r"\b(?:statement|claim|assertion|proposition|sentence|premise|hypothesis)\b[^.!?]{0,40}?\b(?:is|must be|has to be|seems)"
    r"(?P<denied>\s+not|n['’]t)?\s+(?:(?:clearly|definitely|therefore|thus|actually|indeed|simply)\s+)?(?P<word>true|false|correct|"
    r"incorrect)\b",
    re.I,
)
_CORRECTED = re.compile(
    r"\b(?:wait|actually|correction|scratch that|I mean|on second thoughts?|rather|make that|no)\b[,:;.—–\s-]+"
    r"(?:(?:it is|it['’]s|that is|the answer is|I mean|wait|actually|make that)\b[,:;.\s]*)*"
    r"(?P<word>yes|no|true|false)[.!\s\"'”’)]*$",
    re.I,
)
_OTHER = {
    True: re.compile(r"\b(?:no|false|not|never|neither|nor|wrong|incorrect)\b|n['’]t\b", re.I),
    False: re.compile(r"\b(?:yes|true|not|wrong|incorrect)\b", re.I),
}
_TAKES_BACK = re.compile(r"\s*[\"'”’)]*\s*(?:and|or|/|is|was|would be|isn['’]?t|but|,?\s*(?:yes|no|true|false))\b[^.!?]*", re.I)


def _said(text: str) -> bool | None:
    """The answer at the start of ``text``; None if it is retracted at once ("yes and no", "no is wrong")."""
    opens = _OPENS.match(re.sub(r"\\(?:text|textbf|mathrm|mathbf|textrm|mbox)\s*\{", "", text))
    if not opens:
        return None
    word = WORDS[opens[1].lower()]
    rest = re.sub(r"\\(?:text|textbf|mathrm|mathbf|textrm|mbox)\s*\{", "", text)[opens.end() :]
    back = _TAKES_BACK.match(rest)
    return None if back and _OTHER[word].search(back.group()) else word


def _judged(sentence: str) -> bool | None:
    """ "The statement is false": no."""
    found = max(_JUDGED.finditer(sentence), key=lambda match: match.start(), default=None)
    if found is None or doubted(sentence, found.start()) or asked(sentence[found.start() :]):
        return None
    return (found["word"].lower() in ("true", "correct")) != bool(found["denied"])


def yes_or_no(response: str) -> bool | None:
    """True for yes, False for no, None if the response says neither."""
    text = window(response)
    if found := boxes(text):
        content = plain(found[-1].content[:300]).strip()
        read = _said(content)
        if read is None and not _OPENS.match(content):  # "The answer is yes", "The statement is false"
            inside = [said for _, readings in payloads(content) for r in readings if (said := _said(r)) is not None]
            read = inside[-1] if inside else _judged(content)
        return read
    corrected = _CORRECTED.search(text, max(len(text) - 300, 0))  # "No, wait: yes."
    answers = re.match(r"(?:yes|no|true|false)\b|.*\banswer\b", text.strip(), re.I | re.S)
    if corrected and answers and not doubted(text, corrected.start("word")):
        return WORDS[corrected["word"].lower()]
    for _, readings in reversed(list(payloads(text))):
        for reading in readings:
            if _OPENS.match(re.sub(r"\\text\s*\{", "", reading)) and not asked(reading):
                return _said(reading)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        return None
    last_sentence = re.split(r"(?<=[.!?])\s+", lines[-1])[-1]
    for candidate in (lines[-1], last_sentence):
        word = normal(re.sub(r"^(?:so|thus|therefore|hence)[\s,]+", "", candidate, flags=re.I))
        if word in WORDS:
            return WORDS[word]
    if (judged := _judged(last_sentence)) is not None:
        return judged
    opens = _OPENS.match(lines[0])
    if opens and _said(lines[0]) is None:
        return None
    return WORDS[opens[1].lower()] if opens and not refuses(lines[0]) else None


def verify(response: str, example: Example) -> bool:
    """True if the response agrees with ``example.gold`` (``yes`` or ``no``)."""
    said = yes_or_no(response)
    return said is not None and said == WORDS[example.gold]
