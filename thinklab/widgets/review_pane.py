"""The review pane: one guided rollout after the other, every decision by key. A view of a ``ReviewQueue``, which does the rest.

    pane = ReviewPane(queue)      # the last line of a cell shows it
    queue.decided()               # in a later cell: what was decided

The browser shows a decision at once and sends it; Python puts it on disk (``reviews.jsonl``) and answers with the items as
they are now. So the pane stays quick while a cell runs, and a kernel that is started again loses nothing that was sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import traitlets

from thinklab.errors import ReviewError, ThinklabError
from thinklab.review.item import Item, Preview, preview, utf16_spans
from thinklab.review.queue import ReviewQueue
from thinklab.widgets.base import View
from thinklab.widgets.html import css, static
from thinklab.widgets.review_html import review_view


class ReviewPane(View):
    """Traits (all from Python to the browser): ``items``, ``recent`` (ids, newest first), ``max_tokens``, ``can_ask``."""

    _esm = static("review_pane.js")
    _css = css("review_pane.css")
    # written out of the queue whenever a browser asks, so that a page that is loaded again sees what holds now
    items = traitlets.Any(()).tag(sync=True, to_json=lambda _, pane: [pane.row(i) for i in pane.queue.items])
    recent = traitlets.Any(()).tag(sync=True, to_json=lambda _, pane: pane._recent())
    max_tokens = traitlets.Int().tag(sync=True)
    can_ask = traitlets.Bool().tag(sync=True)

    def __init__(self, queue: ReviewQueue):
        self.queue = queue
        self._quick: dict[tuple[str, str], dict[str, Any]] = {}
        super().__init__(max_tokens=queue.guide.max_tokens, can_ask=queue.ask is not None)
        self.on_msg(lambda _, message, buffers: self.handle(message))
        queue.when_closed.append(self.freeze)  # what has been trained on stays in the notebook as static HTML

    def row(self, item: Item) -> dict[str, Any]:
        """What the browser knows about an item. ``quick`` is the preview without the reward, which takes longer."""
        key = item.id, item.current
        if key not in self._quick:
            self._quick[key] = _json(preview(item, item.current, self.queue.behavior_of(item.id), self.queue.guide, None))
        return {
            "id": item.id,
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
            "refusal": item.said.detail or item.said.reason,
            "quick": self._quick[key],
            "who": item.who,
        }

    def handle(self, message: Mapping[str, Any]) -> None:
        """Act on one message of the browser: ``{"kind", "n", "id" | "ids", "text"?}``; always answers."""
        kind: str = message["kind"]
        id: Any = message.get("id")  # what is missing or of another type is an error further down
        text: Any = message.get("text")
        ids: Any = message.get("ids")
        answer = {"kind": "done", "n": message["n"]}
        try:
            if kind == "preview":
                self.send({"kind": "preview", "id": id, "preview": {**_json(self.queue.preview(id, text)), "text": text}})
                return
            changed, answer["said"] = self._act(kind, id, text, ids)
            if kind in ("undo", "ask") and changed:
                answer["goto"] = changed[0].id
        except Exception as error:  # a full disk, a text that does not fit, a teacher that fails: the browser must hear of it
            answer["error"] = str(error) if isinstance(error, ThinklabError) else f"{type(error).__name__}: {error}"
            known = {item.id: item for item in self.queue.items}
            changed = [known[i] for i in ids or [id] if i in known]
        self.send({**answer, "items": [self.row(item) for item in changed], "recent": self._recent()})

    def _act(self, kind: str, id: str, text: str, ids: list[str]) -> tuple[list[Item], str]:
        queue = self.queue
        if kind == "undo":
            return queue.undo(), ""
        if kind == "accept_all":
            if not queue.accept_all(ids):
                raise ReviewError("none of them passes any more; nothing was accepted")
            return [queue[i] for i in ids], ""
        if kind == "ask":
            return [queue.ask_again(id)], "The teacher answered again."
        if kind in ("accept", "reject", "skip"):
            return [getattr(queue, kind)(id)], ""
        return [{"edit": queue.edit, "write": queue.write, "draft": queue.draft}[kind](id, text)], ""

    def _recent(self) -> list[str]:
        return [item.id for item in self.queue.recent()]

    def to_html(self) -> str:
        """The review as it stands, as HTML without a script."""
        return review_view(self.queue).to_html()

    def __repr__(self) -> str:
        counts = self.queue.counts()
        return f"ReviewPane({len(self.queue)} items: {', '.join(f'{n} {state}' for state, n in counts.items())})"


def _json(p: Preview) -> dict[str, Any]:
    return {**p.to_json(), "spans": utf16_spans(p.text, p.spans)}
