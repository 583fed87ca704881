"""Does a response say yes or no? ``yes``/``true`` and ``no``/``false`` in any case; nothing is guessed.

The last closed box counts; without one, the last "the answer is ..." or "Answer: ..."; without that, a yes or no that
is all of the last line; without that, the word that opens the first line.
"""
from __future__ import annotations

import re

from thinklab.tasks._choice import normal
from thinklab.tasks._statements import asked, payloads, refuses, window
from thinklab.tasks.boxed import boxes
from thinklab.types import Example

WORDS = {"yes": True, "true": True, "no": False, "false": False}
_OPENS = re.compile(r"[\s\"'“‘(\[{$\\]*(?:(?:so|thus|therefore|hence|well|probably|definitely|clearly)[\s,]+)*"
                    r"(yes|no|true|false)\b(?![-/]|['’]\w)(?!\s*(?:or|one|idea|way to)\b)", re.I)


def yes_or_no(response: str) -> bool | None:
    """True for yes, False for no, None where the response says neither."""
    text = window(response)
    if found := boxes(text):
        opens = _OPENS.match(re.sub(r"\\(?:text|textbf|mathrm|mathbf|textrm|mbox)\s*\{", "", found[-1].content[:300]))
        return WORDS[opens[1].lower()] if opens else None
    for _, readings in reversed(list(payloads(text))):
        for reading in readings:
            if (opens := _OPENS.match(re.sub(r"\\text\s*\{", "", reading))) and not asked(reading):
                return WORDS[opens[1].lower()]
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        return None
    last_sentence = re.split(r"(?<=[.!?])\s+", lines[-1])[-1]
    for candidate in (lines[-1], last_sentence):
        word = normal(re.sub(r"^(?:so|thus|therefore|hence)[\s,]+", "", candidate, flags=re.I))
        if word in WORDS:
            return WORDS[word]
    opens = _OPENS.match(lines[0])
    return WORDS[opens[1].lower()] if opens and not refuses(lines[0]) else None


def verify(response: str, example: Example) -> bool:
    """True when the response says what ``example.gold`` (``yes`` or ``no``) says."""
    said = yes_or_no(response)
    return said is not None and said == WORDS[example.gold]
