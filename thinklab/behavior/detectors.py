"""Detectors at work: phrase, regex, ``all``, ``any``, ``not``, regions and quotes of a text; ``build``, ``detect_all``.

    detector = build(PhraseSpec(phrase="I check:", where="between_answers"))
    found = detector("So \\boxed{31}. I check: 12+7=19. So \\boxed{30}.")
    bool(found), found.spans, found.why    # True, ((16, 24),), "'I check:' at 16-24"

A detector is any ``Callable[[str], Detection]``. Fixed words are matched by the standard ``re`` (linear for what is
built here); user-written patterns run in the ``regex`` module, which enforces a time limit.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Any

from thinklab.behavior.detection import AsksTeacher, Detection, ReadsMany, Span
from thinklab.behavior.detector_spec import AllSpec, AnySpec, JudgeSpec, NotSpec, PhraseSpec, PythonSpec, RegexSpec
from thinklab.behavior.safe_regex import compile_pattern, join_patterns
from thinklab.errors import BehaviorError, did_you_mean
from thinklab.interop.plugins import check_call
from thinklab.tasks.boxed import boxes

ENTRY_POINTS = "thinklab.detectors"
MAX_TEXT = 200_000
"""Characters of a text that are searched; far more than any response has."""

Detector = Callable[[str], Detection]


def build(spec: Any) -> Detector:
    """The detector that ``spec`` describes.

    Raises:
        BehaviorError: a pattern that does not compile, or an entry point that is not installed.
    """
    if isinstance(spec, PhraseSpec):
        return _phrase(spec)
    if isinstance(spec, RegexSpec):
        return _regex(spec)
    if isinstance(spec, AllSpec):
        return _All(tuple(build(part) for part in spec.all))
    if isinstance(spec, AnySpec):
        return _Any(tuple(build(part) for part in spec.any))
    if isinstance(spec, NotSpec):
        return _Not(build(spec.not_))
    if isinstance(spec, JudgeSpec):
        from thinklab.behavior.judge import Judge  # only probes need it

        return Judge(spec.judge)
    if isinstance(spec, PythonSpec):
        return _External(spec.python, _entry_point(spec))
    raise TypeError(f"not a detector: {spec!r}")


def merged(spans: Iterable[Span]) -> tuple[Span, ...]:
    """Sorted, with overlapping spans merged: a name inside a matched line counts as one place."""
    result: list[Span] = []
    for start, end in sorted(spans):
        if result and start < result[-1][1]:
            result[-1] = (result[-1][0], max(end, result[-1][1]))
        else:
            result.append((start, end))
    return tuple(result)


# Parts of a text

_SENTENCE_END = re.compile(r"[.!?…][\"'”’»)\]}*_$]*\s+|\n\s*")
_CLOSING = " \t\r\n.!?…\"'”’»)]}*_$`"
_QUOTED = re.compile(r"\"[^\"\n]{0,400}\"|“[^”\n]{0,400}”|«[^»\n]{0,400}»|„[^“”\n]{0,400}[“”]")


def region(text: str, where: str) -> Span:
    """(start, end) of the part of ``text`` that ``where`` names; an empty span where there is no such part."""
    size = len(text)
    if where == "anywhere":
        return 0, size
    if where in ("before_answer", "after_answer", "between_answers"):
        found = boxes(text)
        if not found or (where == "between_answers" and len(found) < 2):
            return 0, 0
        return (0 if where == "before_answer" else found[0].end, size if where == "after_answer" else found[-1].start)
    start, end = size - len(text.lstrip()), len(text.rstrip())
    if where == "first_sentence":
        stop = _SENTENCE_END.search(text, start, end)
        return start, stop.end() if stop else end
    if where == "last_sentence":
        stops = [stop.end() for stop in _SENTENCE_END.finditer(text, 0, end)]
        return max([start, *stops]), end
    if where == "last_line":
        return text.rfind("\n", 0, end) + 1, end
    return 0, size  # "start" and "end" apply to single matches


def quoted(text: str) -> list[Span]:
    """The parts of ``text`` in quotation marks that open and close on the same line."""
    return [match.span() for match in _QUOTED.finditer(text)] if re.search('["“«„]', text) else []


# Single detectors


@dataclass(frozen=True)
class _Pattern:
    """Matches of one compiled pattern in one part of the text, with limits on their number."""

    label: str
    pattern: Any
    where: str
    fewest: int
    most: int | None
    outside_quotes: bool
    timeout: float | None = None

    def __call__(self, text: str) -> Detection:
        text = text[:MAX_TEXT]
        start, end = region(text, self.where)
        try:
            # the pattern sees only the part that counts, so ^ and $ are the ends of that part
            found = self._matches(text[start:end], start)
            elsewhere = self._matches(text, 0) if not found and self.where != "anywhere" else []
        except TimeoutError:
            assert self.timeout is not None, "only a pattern with a time limit can time out"
            return Detection(False, (), f"{self.label} took longer than {self.timeout * 1000:.0f} ms on this text", decided=False)
        if not found and not elsewhere:
            return Detection(False, (), f"{self.label} does not occur")
        spans = self._in_place(text, found)
        if self.outside_quotes and spans:
            within = quoted(text)
            free = [(a, b) for a, b in spans if not any(x < a and b < y for x, y in within)]
            if not free:
                return Detection(False, tuple(spans), f"{self.label} occurs only as a quotation, at {_at(spans)}")
            spans = free
        if not spans:
            places = found or elsewhere
            return Detection(False, tuple(places), f"{self.label} is at {_at(places)}, {_OUTSIDE[self.where]}")
        if len(spans) < self.fewest or (self.most is not None and len(spans) > self.most):
            return Detection(
                False, tuple(spans), f"{self.label} occurs {_times(len(spans))}, at {_at(spans)}; {self._wanted()} wanted"
            )
        return Detection(True, tuple(spans), f"{self.label} at {_at(spans)}")

    def _matches(self, text: str, offset: int) -> list[Span]:
        limit = {} if self.timeout is None else {"timeout": self.timeout}
        matches = self.pattern.finditer(text, **limit)
        return [(m.start() + offset, m.end() + offset) for m in matches if m.end() > m.start()]

    def _in_place(self, text: str, found: list[Span]) -> list[Span]:
        if self.where == "start":
            return [span for span in found if not text[: span[0]].strip(" \t\r\n\"'“*_")]
        if self.where == "end":
            return [span for span in found if not text[span[1] :].strip(_CLOSING)]
        return found

    def _wanted(self) -> str:
        if self.most == self.fewest:
            return f"exactly {self.fewest}"
        return f"{self.fewest} to {self.most}" if self.most is not None else f"at least {self.fewest}"


_OUTSIDE = {
    "start": "not at the start",
    "end": "not at the end",
    "first_sentence": "not in the first sentence",
    "last_sentence": "not in the last sentence",
    "last_line": "not in the last line",
    "before_answer": "not before the boxed answer",
    "after_answer": "not after a boxed answer",
    "between_answers": "not between two boxed answers",
}


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _at(spans: Iterable[Span]) -> str:
    spans = list(spans)
    return ", ".join(f"{a}-{b}" for a, b in spans[:3]) + (f" and {len(spans) - 3} more" if len(spans) > 3 else "")


def _phrase(spec: PhraseSpec) -> _Pattern:
    phrases = [spec.phrase] if isinstance(spec.phrase, str) else sorted(spec.phrase, key=len, reverse=True)
    parts = []
    for phrase in phrases:
        before = r"(?<!\w)" if spec.whole_words and re.match(r"\w", phrase) else ""
        after = r"(?!\w)" if spec.whole_words and re.search(r"\w\Z", phrase) else ""
        parts.append(before + re.escape(phrase) + after)
    label = repr(phrases[0]) if len(phrases) == 1 else f"any of {len(phrases)} phrases"
    pattern = re.compile("|".join(parts), re.IGNORECASE if spec.case == "ignore" else 0)
    return _Pattern(label, pattern, spec.where, *spec.bounds, spec.outside_quotes)


def _regex(spec: RegexSpec) -> _Pattern:
    first = spec.patterns[0]
    label = (
        f"any of {len(spec.patterns)} patterns"
        if len(spec.patterns) > 1
        else (f"/{first if len(first) <= 40 else first[:39] + '…'}/")
    )
    pattern = compile_pattern(join_patterns(spec.patterns), spec.case == "ignore")
    return _Pattern(label, pattern, spec.where, *spec.bounds, spec.outside_quotes, spec.timeout_ms / 1000)


def _entry_point(spec: PythonSpec) -> Callable[[str], Any]:
    found = {point.name: point for point in entry_points(group=ENTRY_POINTS)}
    if spec.python not in found:
        known = ", ".join(sorted(found)) or "none"
        raise BehaviorError(
            f"no installed package has a detector {spec.python!r}{did_you_mean(spec.python, found)}; "
            f"installed: {known} (entry points of the group {ENTRY_POINTS!r})"
        )
    try:
        detector: Callable[[str], Any] = found[spec.python].load()(**spec.options)
    except Exception as err:
        raise BehaviorError(f"the detector {spec.python!r} cannot be created: {type(err).__name__}: {err}") from err
    check_call(detector, "the detector", ["text"], f"the detector {spec.python!r}", BehaviorError)
    return detector


@dataclass(frozen=True)
class _External:
    """A function from an entry point; it may return a ``Detection``, a bool, or a list of spans."""

    name: str
    function: Callable[[str], Any]

    def __call__(self, text: str) -> Detection:
        result = self.function(text)
        if isinstance(result, Detection):
            return result
        if isinstance(result, bool):
            return Detection(result, (), f"{self.name} says {'yes' if result else 'no'}")
        spans = merged((int(a), int(b)) for a, b in result)
        return Detection(bool(spans), spans, f"{self.name} at {_at(spans)}" if spans else f"{self.name} finds nothing")


# Combinations


@dataclass(frozen=True)
class _All:
    parts: tuple[Detector, ...]

    def __call__(self, text: str) -> Detection:
        return self.many([text])[0]

    def many(self, texts: Sequence[str]) -> list[Detection]:
        results: list[list[Detection]] = [[] for _ in texts]
        left = list(range(len(texts)))
        for part in self.parts:  # stops at the first failure, so put cheap parts first
            for k, found in zip(left, detect_all(part, [texts[k] for k in left]), strict=True):
                results[k].append(found)
            left = [k for k in left if results[k][-1]]
        return [
            Detection(True, merged(span for r in parts for span in r.spans), "; ".join(r.why for r in parts))
            if parts[-1]
            else parts[-1]
            for parts in results
        ]


@dataclass(frozen=True)
class _Any:
    parts: tuple[Detector, ...]

    def __call__(self, text: str) -> Detection:
        return self.many([text])[0]

    def many(self, texts: Sequence[str]) -> list[Detection]:
        return [self._one(results) for results in zip(*(detect_all(part, texts) for part in self.parts), strict=True)]

    @staticmethod
    def _one(results: Sequence[Detection]) -> Detection:
        yes = [r for r in results if r]
        if not yes:
            why = "none of: " + "; ".join(r.why for r in results)
            return Detection(False, (), why, decided=all(r.decided for r in results))
        return Detection(True, merged(span for r in yes for span in r.spans), "; ".join(r.why for r in yes))


@dataclass(frozen=True)
class _Not:
    part: Detector

    def __call__(self, text: str) -> Detection:
        return self.many([text])[0]

    def many(self, texts: Sequence[str]) -> list[Detection]:
        return [self._one(result) for result in detect_all(self.part, texts)]

    @staticmethod
    def _one(result: Detection) -> Detection:
        if not result.decided:
            return result
        if result:
            return Detection(False, result.spans, f"must not occur: {result.why}")
        return Detection(True, (), f"as wanted, {result.why}")


def detect_all(detector: Detector, texts: Sequence[str]) -> list[Detection]:
    """``[detector(text) for text in texts]``, but a judge inside it receives all of them in one call."""
    return detector.many(texts) if isinstance(detector, ReadsMany) else [detector(text) for text in texts]


def bind_judge(detector: Detector, teacher: Any) -> Detector:
    """``detector`` with ``teacher`` answering for every judge inside it."""
    if isinstance(detector, (_All, _Any)):
        return type(detector)(tuple(bind_judge(part, teacher) for part in detector.parts))
    if isinstance(detector, _Not):
        return _Not(bind_judge(detector.part, teacher))
    return detector.bound(teacher) if isinstance(detector, AsksTeacher) else detector
