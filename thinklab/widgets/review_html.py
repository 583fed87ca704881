"""``review_view``: a review as static HTML with word ``diff``s, for exports and the saved notebook."""

from __future__ import annotations

import difflib
import re
from html import escape

from thinklab.review.item import Item
from thinklab.review.queue import ReviewQueue
from thinklab.widgets.html import Html

SHOWN = 60
"""Number of items shown in full; a saved notebook should stay small, and all items are in the run folder."""
SUMMARY = 3
"""Number of edited texts that a finished review shows expanded."""
WORDS = {
    "open": "undecided",
    "skipped": "skipped",
    "refused": "reply rejected",
    "accepted": "accepted",
    "edited": "accepted, edited",
    "rejected": "rejected",
}
KIND = {"accepted": "good", "edited": "good", "rejected": "bad", "refused": "bad"}
_PIECES = re.compile(r"\w+|\s+|[^\w\s]")


def diff(before: str, after: str) -> str:
    """A word-by-word diff of ``before``, as escaped HTML with ``<del>`` and ``<ins>``."""
    a, b = _PIECES.findall(before), _PIECES.findall(after)
    out = []
    for kind, i, j, k, m in difflib.SequenceMatcher(None, a, b, autojunk=False).get_opcodes():
        if kind == "equal":
            out.append(escape("".join(a[i:j])))
            continue
        if i < j:
            out.append(f"<del>{escape(''.join(a[i:j]))}</del>")
        if k < m:
            out.append(f"<ins>{escape(''.join(b[k:m]))}</ins>")
    return "".join(out)


def review_view(queue: ReviewQueue, shown: int = SHOWN) -> Html:
    """Counts, and the first ``shown`` items with question, answer, guidance and decision.

    After the review it is short: the counts and texts written by a person, with the rest collapsed.
    """
    items = queue.items
    counts = ", ".join(f"{n} {WORDS[state]}" for state, n in queue.counts().items()) or "nothing to review"
    where = f" All of them are in {escape(str(queue.run.path.name))}/reviews.jsonl." if queue.run is not None else ""
    rest = f"<p class=tl-soft>{len(items) - shown} more are not shown here.{where}</p>" if len(items) > shown else ""
    body = "".join(_item(i) for i in items[:shown]) + rest
    if queue.closed:
        mine = [i for i in items if i.state == "edited"][:SUMMARY]
        body = (
            "".join(f"<p class='tl-text tl-said'>{diff(i.said.text, i.text)}</p>" for i in mine)
            + f"<details><summary>All decisions</summary>{body.replace('<details open>', '<details>')}</details>"
        )
    return Html(
        f"<div class='tl tl-static'><h3>Review: {len(items)} guided rollouts</h3><p class=tl-soft>{counts}</p>{body}</div>",
        "review_static.css",
        "Review",
    )


def _item(item: Item) -> str:
    guidance = item.guidance
    said = {True: "correct", False: "incorrect", None: "nothing"}
    truth = {True: "correct", False: "incorrect", None: "unknown"}
    agrees = {
        True: "<span class=tl-good>✓ the teacher is right</span>",
        None: "",
        False: "<span class=tl-bad>✗ the teacher is wrong</span>",
    }[item.agrees]
    text = diff(item.said.text, item.text) if item.state == "edited" else escape(item.said.text)
    if item.state == "refused" or not text:
        text = f"<span class=tl-soft>The reply was rejected: {escape(guidance.detail or guidance.reason or 'no text')}</span>"
    who = f" by {escape(item.who)}, {escape(item.when[:16].replace('T', ' '))} UTC" if item.decided else ""
    draft = f"<span class=tl-label>Draft, undecided</span><p class=tl-text>{escape(item.draft)}</p>" if item.draft else ""
    return (
        f"<details{' open' if item.number < 3 else ''}><summary><span class='tl-chip tl-{KIND.get(item.state, 'soft')}'>"
        f"{WORDS[item.state]}</span> {escape(item.question)}</summary>"
        f"<span class=tl-label>The student's answer</span><p class=tl-text>{escape(item.student_text)}</p>"
        f"<span class=tl-label>The guidance, {escape(item.behavior)}</span><p class='tl-text tl-said'>{text}</p>{draft}"
        f"<p class=tl-soft>Teacher: {said[item.verdict]}; rule: {truth[item.truth]} "
        f"(answer {escape(item.rollout.example.gold)}). {agrees} <span>{WORDS[item.state]}{who}</span></p></details>"
    )
