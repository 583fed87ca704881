"""What Lab calls return, as text and HTML: ``Proposals``, ``Metrics``, ``ReviewText``, ``LabProbe``, ``LabReach``.

Views of records; all text escaped.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any, ClassVar

from thinklab.lab.learned import Learned
from thinklab.probing.result import ProbeResult
from thinklab.probing.stats import Rate
from thinklab.probing.table import HEAD, TITLE, rows_of
from thinklab.types import Batch, Guidance

SHOWN = 8  # rows of a table or text that represents a whole batch
STAGES = ("rollout", "guide", "review", "update")
STYLE = """<style>
.tl-lab{font:14px/1.5 system-ui,sans-serif;color:inherit;max-width:900px}
.tl-lab table{border-collapse:collapse;margin:.4em 0;font-size:13px}
.tl-lab .tl-scroll{overflow-x:auto}
.tl-lab th,.tl-lab td{text-align:left!important;padding:.2em .9em .2em 0;vertical-align:top;background:none}
.tl-lab th,.tl-lab td{border-bottom:1px solid rgba(128,128,128,.35)}
.tl-lab td:first-child{white-space:nowrap}
.tl-lab th{font-weight:600}.tl-lab td.tl-text{white-space:pre-wrap;overflow-wrap:anywhere;min-width:12em;max-width:32em}
.tl-lab ol{list-style:none;display:flex;flex-wrap:wrap;gap:.4em;padding:0!important;margin:.5em 0!important}
.tl-lab li{border:1px solid rgba(128,128,128,.55);border-radius:999px;padding:.05em .8em}
.tl-lab li[aria-current]{border-color:currentColor;border-width:2px;font-weight:600}
.tl-lab code{font-family:ui-monospace,monospace;background:rgba(128,128,128,.15);color:inherit}
.tl-lab code{padding:.05em .35em;border-radius:4px}
.tl-lab p{margin:.3em 0}
</style>"""


def in_notebook() -> bool:
    """Whether this is a Jupyter kernel that can show HTML, unlike a plain script or IPython in a terminal."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "kernel", None) is not None


def box(*parts: str) -> str:
    """HTML parts, already escaped, in the Lab's own style."""
    return f"{STYLE}<div class='tl-lab'>{''.join(parts)}</div>"


def table(head: Sequence[str], rows: Sequence[Sequence[str]], text: Sequence[int] = ()) -> str:
    """A table; every cell is escaped here. Columns in ``text`` hold model text and may break."""
    top = f"<thead><tr>{''.join(f'<th>{escape(h)}</th>' for h in head)}</tr></thead>" if head else ""
    body = "".join(
        "<tr>" + "".join(f"<td{' class=tl-text' if k in text else ''}>{escape(str(c))}</td>" for k, c in enumerate(row)) + "</tr>"
        for row in rows
    )
    return f"<div class='tl-scroll'><table>{top}<tbody>{body}</tbody></table></div>"


def folded(title: str, *parts: str) -> str:
    """HTML parts, already escaped, in a collapsed section."""
    return f"<details><summary>{escape(title)}</summary>{''.join(parts)}</details>"


@dataclass(frozen=True)
class Status:
    """The status of a Lab."""

    name: str
    folder: str
    step: int
    steps: int
    parts: Mapping[str, str]
    """Student, task, behaviors, teacher, method."""
    stage: str
    """The next stage: one of ``STAGES``, ``done`` or ``closed``."""
    now: str
    """In words."""
    next: str
    """The next call."""
    last: str = ""
    """The last update, in words."""
    alarms: Sequence[str] = ()

    def text(self) -> str:
        lines = [
            f"Lab {self.name!r} in {self.folder}: step {self.step} of {self.steps}",
            *(f"  {k}: {v}" for k, v in self.parts.items()),
            f"  now: {self.now}",
        ]
        lines += [f"  last: {self.last}"] if self.last else []
        lines += [f"  alarm: {a}" for a in self.alarms]
        return "\n".join([*lines, *([f"  next: {self.next}"] if self.next else [])])

    def html(self) -> str:
        current = f"<p><b>{escape(self.name)}</b>: step {self.step} of {self.steps}, in <code>{escape(self.folder)}</code></p>"
        pills = "".join(f"<li{' aria-current=step' if s == self.stage else ''}>{s}</li>" for s in STAGES)
        then = f"<p>Next: <code>{escape(self.next)}</code></p>" if self.next else ""
        rows = [*self.parts.items(), *([("last update", self.last)] if self.last else []), *(("alarm", a) for a in self.alarms)]
        return box(current, f"<ol>{pills}</ol>", f"<p>{escape(self.now)}</p>", then, table((), rows, text=(1,)))


def batch_text(batch: Batch) -> str:
    right = sum(r.checks.get("student_correct", r.checks.get("correct", False)) for r in batch.rollouts)
    groups = len({r.group for r in batch.rollouts})
    return f"{len(batch.rollouts)} answers to {groups} questions, {right} of them right"


def batch_html(batch: Batch, shown: int = SHOWN) -> str:
    """The first rollouts of a batch as a table."""
    rows = [(r.id, r.example.question, r.text, _mark(r.checks.get("correct"))) for r in batch.rollouts[:shown]]
    more = len(batch.rollouts) - len(rows)
    return box(
        f"<p>Batch {batch.generation}: {escape(batch_text(batch))}.</p>",
        table(("", "question", "answer", "right"), rows, text=(1, 2)),
        f"<p>and {more} more: <code>batch.rollouts</code></p>" if more > 0 else "",
    )


def _mark(value: bool | None) -> str:
    return "" if value is None else "yes" if value else "no"


def show_batches_in_notebook() -> None:
    """Shows a ``Batch`` at the end of a cell as a table, not as a page of token ids."""
    if not in_notebook():
        return
    formatters = sys.modules["IPython"].get_ipython().display_formatter.formatters
    formatters["text/html"].for_type(Batch, batch_html)
    formatters["text/plain"].for_type(
        Batch, lambda batch, printer, cycle: printer.text(f"Batch {batch.generation}: {batch_text(batch)}")
    )


@dataclass(frozen=True)
class Proposals(Mapping[str, Guidance]):
    """The teacher's replies by rollout id, with a display."""

    batch: Batch
    guidance: Mapping[str, Guidance]

    def __getitem__(self, key: str) -> Guidance:
        return self.guidance[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.guidance)

    def __len__(self) -> int:
        return len(self.guidance)

    @property
    def usable(self) -> dict[str, Guidance]:
        return {k: g for k, g in self.guidance.items() if g.usable}

    def __repr__(self) -> str:
        refused = len(self) - len(self.usable)
        lines = [f"{len(self.usable)} pieces of guidance" + (f", {refused} without" if refused else "")]
        for key, g in list(self.guidance.items())[:SHOWN]:
            what = g.final_text.replace("\n", " ") if g.usable else f"({g.reason}: {g.detail})"
            lines.append(f"  {key}  {what[:110]}{'…' if len(what) > 110 else ''}")
        return "\n".join([*lines, *([f"  and {len(self) - SHOWN} more"] if len(self) > SHOWN else [])])

    def _repr_html_(self) -> str:
        rows, by_id = [], {r.id: r for r in self.batch.rollouts}
        for key, g in list(self.guidance.items())[:SHOWN]:
            r = by_id.get(key)
            rows.append(
                (
                    key,
                    r.example.question if r else "",
                    r.student_text if r else "",
                    g.final_text if g.usable else f"({g.reason}: {g.detail})",
                    {True: "right", False: "wrong", None: ""}[g.verdict],
                    _mark(r.checks.get("student_correct")) if r else "",
                )
            )
        return box(
            f"<p>{escape(repr(self).splitlines()[0])}</p>",
            table(("", "question", "the student's answer", "guidance", "teacher's verdict", "right"), rows, text=(1, 2, 3)),
        )


@dataclass(frozen=True)
class ReviewText:
    """The review as text, if no pane can be shown: the decisions so far, and how to decide the rest."""

    queue: Any
    call: str = "lab.review(batch, auto='accept')"
    """How to decide the rest at once; empty if nothing is undecided."""

    @property
    def lines(self) -> list[str]:
        counts = self.queue.counts()
        head = ", ".join(f"{n} {state}" for state, n in sorted(counts.items())) or "nothing to review"
        return [
            f"{len(self.queue)} guided rollouts: {head}",
            *(f"  {i.id}  {i.state:<9} {i.current.replace(chr(10), ' ')[:100]}" for i in self.queue.items),
        ]

    def __repr__(self) -> str:
        open_ = [i for i in self.queue.items if i.state in ("open", "skipped")]
        how = "decide with queue.accept(id), .edit(id, text), .reject(id) (queue = lab.queue), or all at once: "
        return "\n".join([*self.lines, *([how + self.call] if open_ and self.call else [])])

    def _repr_html_(self) -> str:
        items = self.queue.items
        rows = [(i.id, i.question, i.student_text, i.current, i.state) for i in items[:SHOWN]]
        shown = table(("", "question", "the student's answer", "guidance", ""), rows, text=(1, 2, 3))
        more = f"<p>and {len(items) - SHOWN} more: <code>lab.queue.items</code></p>" if len(items) > SHOWN else ""
        return box(f"<p>{escape(self.lines[0])}</p>", folded("decision", shown, more))


class Metrics(dict[str, Any]):
    """One update's metrics: a dict that shows the important ones first, and the likelihood of the guidance before and after."""

    def __init__(self, figures: Mapping[str, Any], learned: Learned = Learned()):
        super().__init__(figures)
        self.learned = learned

    FIRST: ClassVar[dict[str, str]] = {
        "step": "step",
        "loss": "loss",
        "own/accuracy": "accuracy, unguided",
        "own/behavior": "behavior, unguided",
        "guided_fraction": "guided",
        "guidance/accuracy_before": "guided, right without guidance",
        "guidance/accuracy_after": "guided, right with guidance",
        "teacher/weight_pos": "weight on the teacher's tokens, A > 0",
        "teacher/weight_neg": "weight, A < 0",
        "student/entropy": "entropy",
        "neutral_kl": "KL to the base",
        "learning_rate": "learning rate",
    }

    @property
    def rows(self) -> list[tuple[str, str]]:
        return [
            (name, f"{self[key]:.4g}" if isinstance(self[key], float) else str(self[key]))
            for key, name in self.FIRST.items()
            if self.get(key) is not None
        ]

    @property
    def line(self) -> str:
        return "  ".join(f"{name} {value}" for name, value in self.rows)

    def __repr__(self) -> str:
        return "\n".join([*self.learned.sentences, self.line])

    def _repr_html_(self) -> str:
        learned = self.learned
        said = [f"<p>{escape(s)}</p>" for s in learned.sentences]
        shown = table(learned.HEAD, learned.rows(), text=(0,)) if learned.texts else ""
        return box(*said, shown, folded("metrics of this step", table((), self.rows)))


@dataclass(frozen=True)
class LabProbe:
    """The student's results on held-out questions without guidance or hints.

    Behaves like the ``ProbeResult`` at T = 1, plus greedy decoding and the results before training.
    """

    step: int
    after: Mapping[str, ProbeResult]
    """The current student, by decoding (``T=1`` and ``greedy``)."""
    before: Mapping[str, ProbeResult] = field(default_factory=dict)
    """The same before training; empty if not measured."""
    difference: Mapping[str, Any] = field(default_factory=dict)
    """Paired by question, after minus before, with 95 % intervals; layout of ``probe.json``."""
    found: Sequence[str] = ()
    """Further results of a full probe, in sentences."""

    @property
    def sampled(self) -> ProbeResult:
        return self.after["T=1"]

    @property
    def greedy(self) -> ProbeResult:
        return self.after["greedy"]

    @property
    def accuracy(self) -> Rate:
        return self.sampled.accuracy

    @property
    def first_accuracy(self) -> Rate:
        return self.sampled.first_accuracy

    @property
    def finished(self) -> Rate:
        return self.sampled.finished

    @property
    def behaviors(self) -> Mapping[str, Rate]:
        return self.sampled.behaviors

    @property
    def mean_tokens(self) -> float:
        return self.sampled.mean_tokens

    def rows(self) -> list[tuple[str, ...]]:
        stages = [("before", self.before)] if self.before and self.step else []
        stages += [(f"step {self.step}", self.after)]
        return [row.cells() for label, results in stages for row in rows_of(label, "after", results)]

    def __repr__(self) -> str:
        return "\n".join([as_text(HEAD, self.rows(), TITLE), *self.found])

    def _repr_html_(self) -> str:
        return box(f"<p>{TITLE}</p>", table(HEAD, self.rows()), *(f"<p>{escape(s)}</p>" for s in self.found))


@dataclass(frozen=True)
class LabReach:
    """How unlikely this guidance is under the student, token by token; see ``thinklab/probing/reach.py``."""

    found: Any
    """A ``reach.Reach``."""
    advice: Sequence[str]

    def rows(self) -> list[tuple[str, str, str]]:
        return [(repr(token), f"{p:.2g}", f"{k:.2f}") for token, p, k in self.found.example]

    def __repr__(self) -> str:
        return "\n".join([as_text(("token", "probability", "weight"), self.rows(), "one guidance, token by token"), *self.advice])

    def _repr_html_(self) -> str:
        return box(*(f"<p>{escape(a)}</p>" for a in self.advice), table(("token", "probability", "weight k"), self.rows()))


def as_text(head: Sequence[str], rows: Sequence[Sequence[str]], title: str) -> str:
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    return "\n".join(
        [title, *("  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip() for line in (head, *rows))]
    )
