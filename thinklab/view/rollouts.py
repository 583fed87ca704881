"""``RolloutIndex``: filters, sorts, searches, and pages ``rollouts.jsonl`` without rereading the file.

A few numbers per rollout are kept in memory, and the searchable text in a temporary file (question, answer, guidance,
case-folded). Both grow with the run. Reading and searching happen in slices, so that a page responds at once and reports the
indexed part of the file (``known`` of ``size``) until it is complete.
"""

from __future__ import annotations

import bisect
import mmap
import tempfile
import threading
import time
from array import array
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from thinklab.errors import ConfigError
from thinklab.view.lines import LineIndex

SLICE_S = 0.02
"""Maximum seconds of searching per page."""
STEP_S = 0.005
"""Seconds per indexing step: a page waits for at most one step, and adds one."""
MOST = 200
"""Rollouts per page."""
CLIP = 280
"""Maximum characters of a text in the table."""
VERDICTS = ("none", "correct", "incorrect", "agrees", "disagrees")
SORTS = ("newest", "oldest", "reward", "-reward", "advantage", "-advantage")


@dataclass(frozen=True)
class Wanted:
    """The filters of a page; an empty value matches everything."""

    text: str = ""
    behavior: str = ""
    status: str = ""
    """``unguided``, ``guided`` (the teacher was asked), ``accepted``, ``edited``, ``rejected``, or ``rejected: REASON``."""
    verdict: str = ""
    """The teacher's (``correct``, ``incorrect``), ``none``, or whether it is right (``agrees``, ``disagrees``)."""
    answer: str = ""
    """``right`` or ``wrong``: the student's own answer."""
    shows: str = ""
    """``yes`` or ``no``: whether the whole text shows the behavior."""
    least: float | None = None
    most: float | None = None
    """Bounds of the reward, inclusive."""
    sort: str = "newest"

    @classmethod
    def of(cls, query: Mapping[str, str]) -> Wanted:
        """From the parameters of a URL.

        Raises:
            ConfigError: for an invalid value.
        """

        def one(name: str, known: tuple[str, ...], default: str = "") -> str:
            value = query.get(name) or default
            if value and value not in known:
                raise ConfigError(f"{name} must be one of {', '.join(known)}, not {value!r}")
            return value

        def number(name: str) -> float | None:
            try:
                return float(query[name]) if query.get(name) else None
            except ValueError:
                raise ConfigError(f"{name} must be a number, not {query[name]!r}") from None

        return cls(
            query.get("text", ""),
            query.get("behavior", ""),
            query.get("status", ""),
            one("verdict", VERDICTS),
            one("answer", ("right", "wrong")),
            one("shows", ("yes", "no")),
            number("least"),
            number("most"),
            one("sort", SORTS, "newest"),
        )


class RolloutIndex(LineIndex):
    """See the module. ``page`` may be called from any thread."""

    def clear(self) -> None:
        super().clear()
        self._behavior, self._status = array("i"), array("i")
        self._codes: dict[str, dict[str, int]] = {}
        self._verdict, self._own, self._shows = array("b"), array("b"), array("b")  # -1 unknown, 0 no, 1 yes
        self._reward, self._advantage = array("d"), array("d")
        self._group = array("q")
        self._numbers: dict[str, int] = {}
        """Line by rollout id; the last one in a restarted run."""
        self._text = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as the index
        self._ends, self._buffer = array("Q"), bytearray()
        self._written = 0
        self._search: _Search | None = None

    def add(self, number: int, record: dict[str, Any]) -> None:
        guidance, checks = record.get("guidance") or {}, record.get("checks") or {}
        status = guidance.get("status", "unguided") if guidance else "unguided"
        if status == "rejected":
            status = f"rejected: {guidance.get('reason') or 'unknown'}"
        question, verdict = record["example"]["question"], guidance.get("verdict")
        said = f"{guidance.get('text') or ''}\n{guidance.get('edited') or ''}" if guidance else ""
        text = f"{record['id']}\n{question}\n{record['student_text']}\n{said}\0".casefold().encode("utf-8", "replace")
        own = checks.get("student_correct", None if record.get("teacher_ids") else checks.get("correct"))
        advantage = record.get("advantage")
        values: tuple[tuple[array[Any], int | float], ...] = (
            (self._verdict, _flag(verdict)),
            (self._own, _flag(own)),
            (self._shows, _flag(checks.get("behavior"))),
            (self._reward, float(sum((record.get("rewards") or {}).values()))),
            (self._advantage, float("nan") if advantage is None else float(advantage)),
            (self._group, (int(record["generation"]) << 24) + int(record["group"])),
            (self._behavior, self._code("behavior", str(record.get("behavior") or ""))),
            (self._status, self._code("status", status)),
        )
        for column, value in values:  # all or none: the columns stay aligned
            column.append(value)
        self._numbers[str(record["id"])] = number
        self._buffer += text
        self._ends.append((self._ends[-1] if self._ends else 0) + len(text))

        if len(self._buffer) > 1 << 20:  # now, not all of it at the first search
            self._flush()

    def _flush(self) -> None:
        self._text.seek(0, 2)
        self._text.write(self._buffer)
        self._text.flush()
        self._written += len(self._buffer)
        self._buffer = bytearray()

    def _code(self, kind: str, name: str) -> int:
        return self._codes.setdefault(kind, {}).setdefault(name, len(self._codes[kind]))

    # ---- pages

    def page(self, wanted: Wanted, first: int = 0, count: int = 50, budget_s: float = SLICE_S) -> dict[str, Any]:
        """``count`` matching rollouts, starting at ``first``.

        Returns:
            ``rows``; ``total`` matches so far; ``complete``: whether everything was indexed and searched; ``known`` of ``size`` bytes;
            ``facets``: filter values; ``damaged``: numbers of unreadable lines.
        """
        with self.lock:
            read = self.extend(min(budget_s, STEP_S) if budget_s <= SLICE_S else budget_s)
            numbers, searched = self._matching(wanted, budget_s)
            numbers = self._sorted(numbers, wanted.sort)
            chosen = numbers[max(0, first) :][: max(1, min(count, MOST))]
            rows = [self._row(int(n), r) for n, r in zip(chosen, self.records([int(n) for n in chosen]), strict=True)]
            return {
                "rows": rows,
                "total": len(numbers),
                "all": len(self),
                "complete": read and searched,
                "known": self.end,
                "size": self.size,
                "facets": {kind: sorted(names) for kind, names in self._codes.items()},
                "damaged": self.damaged[:20],
                "version": self.version,
            }

    def find(self, id: str) -> int | None:
        """The line of a rollout; None if there is no such rollout."""
        with self.lock:
            self.extend()
            return self._numbers.get(id)

    def group_of(self, number: int) -> list[int]:
        """The lines of the rollouts of the same question in the same batch, including itself."""
        with self.lock:
            return np.flatnonzero(np.array(self._group) == self._group[number]).tolist()

    def _row(self, number: int, r: dict[str, Any]) -> dict[str, Any]:
        g = r.get("guidance") or {}
        said = (g.get("text") if g.get("edited") is None else g["edited"]) if g else None
        return {
            "line": number,
            "id": r["id"],
            "step": r["step"],
            "generation": r["generation"],
            "question": clip(r["example"]["question"]),
            "gold": clip(str(r["example"]["gold"]), 60),
            "student": clip(r["student_text"]),
            "guidance": clip(said or g.get("detail") or ""),
            "behavior": r.get("behavior") or "",
            "status": g.get("status", "unguided") if g else "unguided",
            "reason": g.get("reason", ""),
            "verdict": g.get("verdict"),
            "right": _known(self._own[number]),
            "shows": _known(self._shows[number]),
            "reward": round(self._reward[number], 4),
            "advantage": r.get("advantage"),
        }

    def _matching(self, wanted: Wanted, budget_s: float) -> tuple[np.ndarray, bool]:
        keep = np.ones(len(self), bool)
        if wanted.behavior:
            keep &= np.array(self._behavior) == self._codes.get("behavior", {}).get(wanted.behavior, -1)
        if wanted.status:
            asked = wanted.status == "guided"
            codes = [
                c
                for name, c in self._codes.get("status", {}).items()
                if name == wanted.status or name.startswith(f"{wanted.status}: ") or (asked and name != "unguided")
            ]
            keep &= np.isin(np.array(self._status), codes)
        verdict, own = np.array(self._verdict), np.array(self._own)
        if wanted.verdict in ("none", "correct", "incorrect"):
            keep &= verdict == {"none": -1, "correct": 1, "incorrect": 0}[wanted.verdict]
        elif wanted.verdict:
            keep &= (verdict >= 0) & (own >= 0) & ((verdict == own) == (wanted.verdict == "agrees"))
        if wanted.answer:
            keep &= own == (wanted.answer == "right")
        if wanted.shows:
            keep &= np.array(self._shows) == (wanted.shows == "yes")
        reward = np.array(self._reward)
        if wanted.least is not None:
            keep &= reward >= wanted.least - 1e-9
        if wanted.most is not None:
            keep &= reward <= wanted.most + 1e-9
        if not wanted.text:
            return np.flatnonzero(keep), True
        found, searched = self._searched(wanted.text, budget_s)
        mask = np.zeros(len(self), bool)
        mask[found] = True
        return np.flatnonzero(keep & mask), searched

    def _searched(self, text: str, budget_s: float) -> tuple[np.ndarray, bool]:
        """The lines with ``text`` (case-insensitive) found so far; a search continues where the last page stopped."""
        needle = text.casefold().encode("utf-8", "replace")
        if self._search is None or self._search.needle != needle:
            self._search = _Search(needle)
        self._flush()
        if not self._written:
            return np.zeros(0, np.int64), True
        with mmap.mmap(self._text.fileno(), self._written, access=mmap.ACCESS_READ) as hay:
            done = self._search.go_on(hay, self._ends, budget_s)
        return np.array(self._search.lines), done

    def _sorted(self, numbers: np.ndarray, sort: str) -> np.ndarray:
        if sort == "oldest":
            return numbers
        if sort == "newest":
            return numbers[::-1]
        values = np.array(self._reward if sort.endswith("reward") else self._advantage)[numbers]
        values = np.where(np.isnan(values), np.inf, values if not sort.startswith("-") else -values)
        return numbers[np.argsort(values, kind="stable")]


class _Search:
    """The lines that contain ``needle``, as far as searched."""

    def __init__(self, needle: bytes):
        self.needle, self.lines, self.at = needle, array("q"), 0

    def go_on(self, hay: mmap.mmap, ends: array, budget_s: float) -> bool:
        until, end, step = time.perf_counter() + budget_s, len(hay), 1 << 24
        while self.at < end:
            here = hay.find(self.needle, self.at, min(end, self.at + step + len(self.needle)))
            if here < 0:
                self.at = min(end, self.at + step)
            else:
                line = bisect.bisect_right(ends, here)
                self.lines.append(line)
                self.at = ends[line]
            if time.perf_counter() >= until:
                return self.at >= end
        return True


class Indexes:
    """The index of each opened run, filled in the background."""

    def __init__(self):
        self._known: dict[Path, RolloutIndex] = {}
        self._lock = threading.Lock()

    def of(self, folder: Path) -> RolloutIndex:
        """The index of the run in ``folder``; the first call starts reading."""
        with self._lock:
            if folder not in self._known:
                self._known[folder] = index = RolloutIndex(folder / "rollouts.jsonl")
                threading.Thread(target=_fill, args=(index,), name="thinklab-index", daemon=True).start()
            return self._known[folder]


def _fill(index: RolloutIndex) -> None:
    time.sleep(0.1)  # the first page has priority
    while not index.extend(STEP_S):
        time.sleep(0.002)  # a page waiting for the lock gets it here


def clip(text: str, most: int = CLIP) -> str:
    """``text``, truncated to ``most`` characters."""
    return text if len(text) <= most else text[: most - 1] + "…"


def _flag(value: Any) -> int:
    return -1 if value is None else int(bool(value))


def _known(flag: int) -> bool | None:
    return None if flag < 0 else bool(flag)
