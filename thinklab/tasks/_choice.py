"""Multiple choice: which option does a response choose, by its letter or its text? None is guessed.

The last closed box counts. Without one, the last statement such as "the answer is (B)", "I would go with B: bank" or
"bank is the correct answer". Without any, a letter or an option that stands alone on the last line, or opens the first.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterator, Sequence

from thinklab.tasks._number import plain
from thinklab.tasks._statements import asked, doubted, payloads, refuses, window
from thinklab.tasks.boxed import boxes
from thinklab.types import Example

LETTERS = string.ascii_uppercase[:20]
LONGEST_LINE = 600
AMBIGUOUS = ""  # contains an answer, but not one of the options

_TYPESET = re.compile(r"\\(?:text|textbf|mathrm|mathbf|textrm|mbox)\s*\{([^{}]*)\}")
_LETTER = re.compile(r"[\s\"'“‘(\[{$\\]*([A-Ta-t])(?![A-Za-z0-9'’])")
_CLOSED = re.compile(r"[\s\"'”’$\\]*[)\]}.,:;!]|\s*$|\s*[—–]|\s+-")
_GOES_ON = re.compile(r"\s*(?:because|since|as|for|due|is the|based|given|which|and not|not|rather)\b", re.I)
_SECOND = re.compile(
    r"[\s)\].\"']*(?:(?:or|and|nor|&|/)\W*(?:(?:the|option|choice|also|maybe|perhaps|possibly)\W+)*"
    r"(?:[B-HJ-T](?![A-Za-z0-9'’])|[AI](?=[).,;:!\"']|\s*$))"
    r"|,\s*\(?[A-T](?=\)?(?:[.,;:!)]|\s*$|\s+(?:or|and)\b)))"
)
_IS_RIGHT = re.compile(
    r"(?<![)\].\"'”’ \t])[)\].\"'”’]*[ \t]+(?:is|was|seems|appears|would be|must be)(?: to be)?"
    r"(?: (?:clearly|indeed|therefore|thus|definitely|probably|likely|most likely))?(?: (?:the|my))?(?: only| single)?"
    r"(?: (?:correct|right)(?: (?:answer|choice|option|one))?|(?: (?:best|final|proper|logical|most \w+))?"
    r" (?:answer|choice|option))\b(?![-'’])",
    re.I,
)
_ENDS_IN_LETTER = re.compile(r"(?:^|[\s(\[\"'“‘])([A-T])$")
_SEVERAL = re.compile(
    r"\b(?:or|nor|and|not|neither|either|both|than)\s+(?:the\s+)?(?:(?:option|choice|answer)\s+)?"
    r"[(\[\"'“‘]*$",
    re.I,
)
_BARE = re.compile(r"(?:[Oo]ption|[Cc]hoice)?[\s\"'“‘(\[{$\\]*([A-Ta-t])[\"'”’)\]}$\\.,:;!]*")
_OPENS = re.compile(r"[ \t]*(?:[-•*][ \t]*)?(?:option |choice )?[(\[]?([A-T])[)\].:]", re.I)
_OPENING = re.compile(r"[\"'“‘(\[]*([A-T])([)\].:,]+|[ \t]+[-–—]|$)[\"'”’]*(?:\s+|$)(.*)")
_CONCLUDES = re.compile(
    r"(?:\b(?:is|are|be|leads?(?: us)? to|points? (?:us )?to|corresponds? to|matches|i\.e\.,?)"
    r"(?: that)?|:)\s+(?:(?:option|choice|answer)\s+)?",
    re.I,
)
_CLOSES = re.compile(r"(?:\(([A-T])\)|\b(?:so|thus|therefore|hence|choose|pick|select)[:,]? ([A-T]))[.!]*$", re.I)
_LEAD = re.compile(
    r"(?:(?:so|thus|therefore|hence|well|it['’]?s|it is|it would be|that['’]?s|that would be|probably|"
    r"definitely|a|an|the|in|at|to)[\s,]+)+",
    re.I,
)


_NAMING = re.compile(
    r"\s*(?:(?:so|thus|therefore)[,\s]+)?(?:(?:the|my)\s+)?(?:(?:correct|right|best|final)\s+)?"
    r"(?:answer|option|choice|letter)\b(?:\s+(?:choice|option))?(?:\s+(?:is|=)|\s*[:=])?\s*(?:(?:option|choice)\s+)?",
    re.I,
)
_DENIED = re.compile(
    r"[\s)\].:,\"'”’]*(?:(?:is|was|are|would be)\s+(?:not|never|n['’]t|wrong|incorrect|false|impossible|out|excluded|ruled|"
    r"eliminated|unlikely)\b|(?:isn|wasn|can|couldn)['’]?t\b|cannot\b|(?:is|are)n['’]?t\b|(?:wrong|incorrect|false)\b)",
    re.I,
)
_CORRECTED = re.compile(
    r"\b(?:wait|actually|correction|scratch that|I mean|on second thoughts?|rather|make (?:that|it)|no)\b[,:;.—–\s-]+"
    r"(?:(?:it is|it['’]s|that is|that['’]s|the answer is|I mean|wait|actually|no|make that|make it|option|choice)\b[,:;.\s]*)*"
    r"[(\[]?([A-T])[)\]]?[.!\s]*$",
    re.I,
)


def normal(text: str) -> str:
    """Text for comparison: lower case, without typesetting, an article at the front or punctuation at the ends."""
    text = " ".join(_TYPESET.sub(r"\1", text).replace("$", "").casefold().split())
    return re.sub(r"^(?:an?|the) ", "", text.strip(" .,;:!?\"'“”‘’()[]{}\\*"))


def choice(response: str, options: Sequence[str]) -> str | None:
    """The letter of the option that ``response`` chooses, or None where it chooses none or several.

    Args:
        response: any text.
        options: the options' texts in their order; the first is ``A``. At most 20.
    """
    text = window(response)
    if found := boxes(text, meant=options):
        return _boxed(found[-1].content[:300], options) or None
    said = [(at, read) for at, readings in payloads(text) if (read := _stated(readings, options)) is not None]
    said += _judged(text, options)
    if said:
        at, read = max(said)
        corrected = _CORRECTED.search(text, at) if len(text) - at <= LONGEST_LINE else None
        if corrected and corrected[1].isupper() and corrected[1] != "I":  # "The answer is B. No, wait: C."
            return corrected[1] if corrected[1] in LETTERS[: len(options)] else None
        return read or None
    return _alone(text, options) or None


def _boxed(content: str, options: Sequence[str]) -> str | None:
    """What a box chooses: ``B``, ``(B) bank``, ``Option B``, ``The answer is B``."""
    read = _read(content, options, whole=True)
    if read is None:
        content = plain(content).strip()
        named = _NAMING.match(content)
        read = _read(content[named.end() :] if named else content, options, whole=True)
    return read


def _stated(readings: Sequence[str], options: Sequence[str]) -> str | None:
    """The first reading that yields an option. A question counts only if it is an option's own text."""
    for reading in readings:
        read = _by_text(reading, options, whole=True) if asked(reading) else _read(reading, options)
        if read is not None:
            return read
    return None


def _read(text: str, options: Sequence[str], whole: bool = False) -> str | None:
    """The option that ``text`` begins with, by letter or by its text; ``AMBIGUOUS`` for several, None for neither."""
    text = _TYPESET.sub(r"\1", text)
    by_text = _by_text(text, options, whole)
    match = _LETTER.match(text)
    if not match or (by_text is not None and normal(text) != match[1].casefold()):
        return by_text
    letter, rest = match[1].upper(), text[match.end() :]
    if _SECOND.match(rest) or (_DENIED.match(rest) and normal(text) not in map(normal, options)):
        return AMBIGUOUS
    known = letter in LETTERS[: len(options)]
    # "a" and "I" are words too, and any small letter may be: they must be closed off, or bring their option along
    word = match[1].islower() or letter in "AI"
    option = normal(options[LETTERS.index(letter)]) if known else ""
    own = option and normal(rest).startswith(option)
    if own or not word or _CLOSED.match(rest) or (match[1].isupper() and _GOES_ON.match(rest)):
        return letter if known else AMBIGUOUS
    return None


def _by_text(text: str, options: Sequence[str], whole: bool) -> str | None:
    """The option whose own text is all of ``text``, or begins it where not ``whole``; the longest one that fits."""
    forms, hits = {normal(text), normal(_LEAD.sub("", text.strip(), count=1))}, []
    for letter, option in zip(LETTERS, options, strict=False):
        wanted = normal(option)
        for form in forms:
            rest = form[len(wanted) :]
            named = re.match(r"\s*\(([a-t])(?:\)|$)", rest)
            closed = not whole and (_CLOSED.match(rest) or _GOES_ON.match(rest))
            ends = not rest or closed or (named and named[1].upper() == letter)
            if wanted and form.startswith(wanted) and ends:
                hits.append((len(wanted), letter))
    letters = {letter for length, letter in hits if length == max(hits)[0]}
    return None if not letters else letters.pop() if len(letters) == 1 else AMBIGUOUS


def _judged(text: str, options: Sequence[str]) -> Iterator[tuple[int, str]]:
    """(position, letter) of every "B is correct", "(B) bank is the best answer", "bank is the right choice"."""
    own = {letter: normal(option) for letter, option in zip(LETTERS, options, strict=False)}
    for match in _IS_RIGHT.finditer(text):
        at = match.start()
        if doubted(text, at) or asked(text[match.end() :]):
            continue
        before = text[max(text.rfind("\n", 0, at) + 1, at - 300) : at].rstrip(" )].\"'”’")
        said = normal(before)
        ends = {
            letter: len(o)
            for letter, o in own.items()
            if not re.fullmatch(r"[a-z]?", o) and re.search(rf"(?<![\w-]){re.escape(o)}$", said)
        }
        letters = {letter for letter, length in ends.items() if length == max(ends.values())}
        if letters:  # by its text first: "32° F is correct" does not name F
            before = said[: -max(ends.values())]
            if name := re.search(r"(?:^|[\s(])[a-t][)\].:]+\s*$", before):
                before = before[: name.start()]
        elif name := _ENDS_IN_LETTER.search(before):
            before, letters = before[: name.start(1)], {name[1]}
        if letters:
            several = len(letters) > 1 or _SEVERAL.search(before) or not letters <= set(LETTERS[: len(options)])
            yield at, AMBIGUOUS if several else letters.pop()


def _alone(text: str, options: Sequence[str]) -> str | None:
    """A letter or an option that is all of the last line, or stands at the head of the first."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        return None
    bare = _BARE.fullmatch(lines[-1][:LONGEST_LINE])
    if bare and (bare[1].isupper() or len(lines) == 1):
        return _read(bare[1], options, whole=True)
    listed = {m[1].upper() for line in lines if (m := _OPENS.match(line))}
    if len(listed) > 1:  # the options are gone through or repeated
        return None
    first, last = lines[0][:LONGEST_LINE], lines[-1][-LONGEST_LINE:]
    for line, head in ((last, len(lines) == 1), (first, True)):
        opening = _OPENING.match(line)
        if opening and _by_text(opening[3], options, whole=True) == opening[1]:
            return opening[1]
        if refuses(line):
            continue
        # "A:" may stand for "Answer:", and "I." begins many a sentence or a list
        if opening and head and opening[1] != "I" and opening.group(1, 2) != ("A", ":"):
            return _read(opening[1], options, whole=True)
        sentences = re.split(r"(?<=[.!?])\s", line)
        reasoned = [re.split(r",? (?:because|since)\b", s, maxsplit=1)[0] for s in (sentences[-1], sentences[0])]
        for said in (line, sentences[-1], sentences[0], *reasoned):
            if (read := _by_text(said, options, whole=True)) is not None:
                return read
    return _concluded(last, options)


def _concluded(line: str, options: Sequence[str]) -> str | None:
    """Of a last line without a statement: "this leads to option B", "the result is bank", "hence a bank (A)"."""
    if refuses(line) or asked(line):
        return None
    for match in _CONCLUDES.finditer(line):
        rest = line[match.end() :]
        if doubted(line, match.start()):
            continue
        letter = re.fullmatch(r"[(\[\"']*([A-T])[)\]\"'.!]*", rest)
        read = _read(letter[1], options, whole=True) if letter else _by_text(rest, options, whole=True)
        opening = _OPENING.match(rest)
        if read is None and opening and _by_text(opening[3], options, whole=True) == opening[1]:
            read = opening[1]
        if read is not None:
            return read
    closes = _CLOSES.search(line)
    if not closes or doubted(line, closes.start()) or _SEVERAL.search(line[: closes.start()]):
        return None
    closing = closes[1] or closes[2]
    several = re.search(r"\([A-T]\)", line[: closes.start()])
    return closing if closing.isupper() and not several and closing in LETTERS[: len(options)] else None


def verify(response: str, example: Example) -> bool:
    """True when the response chooses the option whose letter is ``example.gold``; options in ``meta["choices"]``."""
    return choice(response, example.meta["choices"]) == example.gold
