"""``ReviewPane``: the widget over a ``ReviewQueue``: its rows, and the messages of its page.

A view of a ``ReviewQueue``, which holds the logic.

    pane = ReviewPane(queue)      # the last line of a cell shows it
    queue.decided()               # in a later cell: decision

The browser shows a decision at once and sends it; Python writes it to disk (``reviews.jsonl``) and replies with the updated
items. So the pane stays responsive while a cell runs, and a restarted kernel loses no sent decision.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import traitlets

from thinklab.errors import ReviewError, ThinklabError
from thinklab.review import table
from thinklab.review.checks import WORDS, doubts
from thinklab.review.item import REASONS, Item, Preview, preview, utf16_spans
from thinklab.review.queue import ReviewQueue
from thinklab.widgets.base import View
from thinklab.widgets.html import css, module, static
from thinklab.widgets.review_html import review_view
from thinklab.widgets.rich_text import shown

READS = {"preview", "view", "table", "agreement", "shown"}
"""Messages that are not decisions."""


class ReviewPane(View):
    """Traits (all from Python to the browser): ``items``, ``recent`` (ids, newest first), ``max_tokens``, ``can_ask``, ``me``,
    ``reasons``, ``left_out`` (texts for what *Accept all that pass* leaves out), ``fresh`` (not shown before: may take the focus)."""

    _esm = module("review_pane.js")
    _css = css("review_pane.css") + static("rich_text.css")
    # rebuilt from the queue at every request, so that a reloaded page is up to date
    items = traitlets.Any(()).tag(sync=True, to_json=lambda _, pane: [pane.row(i) for i in pane.queue.items])
    recent = traitlets.Any(()).tag(sync=True, to_json=lambda _, pane: pane._recent())
    max_tokens = traitlets.Int().tag(sync=True)
    can_ask = traitlets.Bool().tag(sync=True)
    me = traitlets.Unicode().tag(sync=True)
    reasons = traitlets.List(list(REASONS)).tag(sync=True)
    left_out = traitlets.Dict(dict(WORDS)).tag(sync=True)
    fresh = traitlets.Bool(True).tag(sync=True)

    def __init__(self, queue: ReviewQueue):
        self.queue = queue
        self._quick: dict[tuple[str, str], Preview] = {}
        super().__init__(max_tokens=queue.guide.max_tokens, can_ask=queue.ask is not None, me=queue.by)
        self.on_msg(lambda _, message, buffers: self.handle(message))
        queue.when_closed.append(self.close)  # after training, it stays in the notebook as static HTML

    def row(self, item: Item) -> dict[str, Any]:
        """An item in the form for the browser. ``quick`` omits the reward from the preview, which takes longer."""
        key = item.id, item.current
        if key not in self._quick:
            self._quick[key] = preview(item, item.current, self.queue.behavior_of(item.id), self.queue.guide, None)
        quick = self._quick[key]
        return {
            "id": item.id,
            "group": item.rollout.group,
            "question": item.question,
            "gold": item.rollout.example.gold,
            "student": item.student_text,
            "said": item.said.text,
            "text": item.text,
            "draft": item.draft,
            "state": item.state,
            "verdict": item.verdict,
            "truth": item.truth,
            "agrees": item.agrees,
            "behavior": item.behavior,
            "refusal": "" if item.said.usable else item.said.detail or item.said.reason,
            "raw": item.said.raw,
            "rescue": "" if item.said.usable else item.rescue,
            "quick": _json(quick),
            "doubts": [asdict(d) for d in doubts(item, quick)],
            "who": item.who,
            "by": self.queue.deciders(item.id),
            "why": item.why,
            "tags": list(item.tags),
            "note": item.note,
        }

    def handle(self, message: Mapping[str, Any]) -> None:
        """Process one message of the browser: ``{"kind", "n", "id" | "ids", ...}``; always replies, except to ``shown``."""
        kind: str = message["kind"]
        id: Any = message.get("id")  # missing fields or wrong types raise an error below
        ids: Any = message.get("ids")
        answer: dict[str, Any] = {"kind": "done", "n": message["n"]}
        try:
            if kind == "shown":
                self.fresh = False
                return
            if kind in READS:
                self.send({"kind": kind, "n": message["n"], "id": id, **self._read(kind, message)})
                return
            changed, answer["said"] = self._act(kind, message)
            if kind in ("undo", "ask") and changed:
                answer["goto"] = changed[0].id
        except Exception as error:  # a full disk, a text that does not fit, a failing teacher: the browser must be told
            answer["error"] = str(error) if isinstance(error, ThinklabError) else f"{type(error).__name__}: {error}"
            known = {item.id: item for item in self.queue.items}
            changed = [known[i] for i in ids or [id] if i in known]
        self.send({**answer, "items": [self.row(item) for item in changed], "recent": self._recent()})

    def _read(self, kind: str, message: Mapping[str, Any]) -> dict[str, Any]:
        queue = self.queue
        if kind == "agreement":
            return {"pairs": [{**asdict(a), "n": a.n, "kappa": a.kappa} for a in queue.agreement()]}
        if kind == "table":
            name = f"decisions-{queue.run.path.name if queue.run is not None else 'review'}.{message['as']}"
            return {"name": name, "text": table.as_text(queue.items, message["as"]), "type": "text/plain;charset=utf-8"}
        id: str = message["id"]
        if kind == "view":
            return self._view(queue[id])
        found, effect = queue.preview(id, message["text"]), queue.effect(id, message["text"])
        rich = shown(found.text)
        return {
            "preview": {**_json(found), "text": message["text"], "rich": rich},
            "effect": None if effect is None else asdict(effect),
        }

    def _view(self, item: Item) -> dict[str, Any]:
        """Everything to display one item: its texts as formatted, and the others of its group."""
        groups, states = self.queue.groups, {i.id: i.state for i in self.queue.items}
        others: list[dict[str, Any]] = []
        if groups is not None:
            others = [
                {
                    "id": r.id,
                    "this": r.id == item.id,
                    "text": r.student_text,
                    "rich": shown(r.student_text),
                    "state": states.get(r.id, ""),
                    "correct": groups.right(r),
                }
                for r in groups.of(item.rollout)
            ]
        return {"question": shown(item.question), "student": shown(item.student_text), "group": others}

    def _act(self, kind: str, message: Mapping[str, Any]) -> tuple[list[Item], str]:
        queue = self.queue
        id: Any = message.get("id")
        if kind == "undo":
            return queue.undo(), ""
        if kind == "accept_all":
            ids: list[str] = message["ids"]
            if not queue.accept_all(ids):
                raise ReviewError("none of them passes anymore; nothing was accepted")
            left = sum(not queue[i].decided for i in ids)
            return [queue[i] for i in ids], f"{left} of them no longer passed and were left out." if left else ""
        if kind == "ask":
            return [queue.ask_again(id)], "The teacher answered again."
        if kind == "reject":
            return [queue.reject(id, message.get("why") or "")], ""
        if kind == "note":
            return [queue.annotate(id, message.get("tags"), message.get("note"))], ""
        if kind in ("accept", "skip"):
            return [getattr(queue, kind)(id)], ""
        text: Any = message.get("text")
        return [{"edit": queue.edit, "write": queue.write, "draft": queue.draft}[kind](id, text)], ""

    def _recent(self) -> list[str]:
        return [item.id for item in self.queue.recent()]

    def to_html(self) -> str:
        """The current review, as HTML without scripts."""
        return review_view(self.queue).to_html()

    def __repr__(self) -> str:
        counts = self.queue.counts()
        return f"ReviewPane({len(self.queue)} items: {', '.join(f'{n} {state}' for state, n in counts.items())})"


def _json(p: Preview) -> dict[str, Any]:
    return {**p.to_json(), "spans": utf16_spans(p.text, p.spans)}
