"""Sentences that state an answer ("the answer is ...", "I would go with ..."), doubt it, or refuse.

Shared by the choice and the yes/no verifiers, which read what follows. Hedges ("I cannot say whether the answer is"),
conditions ("if the answer is") and questions are not statements.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

LONGEST_HEAD, LONGEST_TAIL = 2_000, 30_000  # characters searched: answers are at the beginning or the end
LONGEST_PAYLOAD = 300

_STATED = re.compile(
    r"(?:\b(?:answer|choice|option)(?:[ \t]+(?:choice|option|letter|here|to (?:the|this|your) question)){0,2}"
    r"(?:[ \t]+(?:is|was|should be|must be|would be|will be|has to be)\b[ \t]*:?|[ \t]*[:=])"
    r"|\bI(?:['’]d|['’]ll|[ \t]+would|[ \t]+will)?[ \t]+(?:choose|pick|select|go with|go for|say|answer)\b"
    r"(?:[ \t]+that|:)?"
    r"|\b(?:I(?:['’]m|[ \t]+am)|we(?:['’]re|[ \t]+are))[ \t]+going with\b"
    r"|\b(?:let['’]s|we(?:['’]ll)?|to|must|can|should|will)[ \t]+(?:choose|pick|select|go with)\b"
    r"|\b(?:so|thus|therefore|hence),?[ \t]+(?:it(?:['’]s| is)[ \t]+)?(?=(?:the )?(?:option|choice)\b)"
    r"|\bit(?:['’]s| is| must be| should be| has to be)[ \t]+(?=(?:option |choice )?(?-i:\(?[A-T](?:[).,:;!\"]|\s*$)))"
    r"|<answer>|^[ \t]*####(?!#)|^[ \t]*A:)",
    re.I | re.M,
)
_FILLER = re.compile(
    r"(?:[\s:>=\-]|(?:therefore|thus|clearly|clear|obviously|most likely|likely|probably|simply|just|indeed|definitely|"
    r"actually|still|then|(?:the )?(?:correct |right |best )?(?:option|choice|letter|answer)(?: is)?)\b[ \t]*[:,]?)+",
    re.I,
)
_CLAUSE = re.compile(r"[.;!?\n]|,|—|\b(?:but|however|so|therefore|thus|hence|then|although|because|since)\b", re.I)
_DOUBT = re.compile(
    r"\b(?:cannot|can['’]?t|can not|couldn['’]?t|could not|unable|not (?:sure|certain|able|possible|clear|obvious)|"
    r"unsure|uncertain|unclear|impossible|don['’]?t|do not|doesn['’]?t|isn['’]?t|doubt|thought|pretend|never|refuse|"
    r"(?:might|may|some|people|one|you|they|many|would|could)(?: \w+)? (?:think|say|believe|assume|guess|expect))\b"
    r"|\b(?:if|whether|suppos\w+|assum\w+|unless|why|than|before|until|say|no)(?: that)?(?: (?:the|my|a|your|its))?"
    r"(?: (?:correct|right|best|final|real|true))?\s*$",
    re.I,
)
_REFUSAL = re.compile(
    r"\b(?:sorry|apologi[sz]e|cannot|can['’]?t|could ?n['’]?t|unable|not able|do(?:es)? ?n['’]?t know|do not know|"
    r"no idea|not (?:sure|certain|enough)|as an ai|language model|refuse|decline to|insufficient|impossible|none of)\b",
    re.I,
)


def window(response: str) -> str:
    """The searched parts of a long response, without markdown emphasis."""
    if len(response) > LONGEST_HEAD + LONGEST_TAIL:
        response = response[:LONGEST_HEAD] + "\n" + response[-LONGEST_TAIL:]
    return re.sub(r"\*\*|__|`", "", response)


def refuses(line: str) -> bool:
    """True for text that declines to answer or does not know."""
    return bool(_REFUSAL.search(line))


def doubted(text: str, start: int) -> bool:
    """Whether the clause around ``start`` retracts what follows, or makes it conditional."""
    before = text[max(0, start - 200) : start]
    cut = 0
    for match in _CLAUSE.finditer(before):
        cut = match.end()
    return bool(_DOUBT.search(before[cut:]))


def asked(text: str) -> bool:
    """True if the first sentence of ``text`` is a question."""
    stop = re.search(r"[.!?\n]", text[:LONGEST_PAYLOAD])
    return stop is not None and stop.group() == "?"


def payloads(text: str) -> Iterator[tuple[int, list[str]]]:
    """(position, readings) for every statement of an answer, in order.

    The readings are what follows, up to the end of the line: as it stands, then without words such as "clearly" or
    "option" at its front (they may belong to an option, so the plain reading comes first).
    """
    for match in _STATED.finditer(text):
        if doubted(text, match.start()):
            continue
        plain = text[match.end() : match.end() + LONGEST_PAYLOAD].lstrip(" \t\r\n:>=-")
        filler = _FILLER.match(plain)
        readings = [r.split("\n", 1)[0].strip() for r in (plain, plain[filler.end() :] if filler else "")]
        yield match.start(), [r for r in readings if r]
