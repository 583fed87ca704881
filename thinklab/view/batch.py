"""``OpenBatch``, ``Desk``: one batch decided by several named reviewers in browsers: who is here, undo, deadline.

The decisions are those of the notebook's pane: the browser runs the pane's own module, and its messages are handled by a
``ReviewPane`` over the batch's ``ReviewQueue``. This module adds reviewer names, changes by other reviewers, and the end of
the batch: when everything is decided (for ``grace_s`` seconds), a reviewer ends it, or the deadline has passed.
"""

from __future__ import annotations

import re
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterable, Mapping
from contextvars import ContextVar
from typing import Any, Literal

from thinklab.errors import ReviewError
from thinklab.review.item import Item
from thinklab.review.queue import Auto, ReviewQueue
from thinklab.widgets.review_pane import READS, ReviewPane

Default = Literal["accept", "accept_if_detected", "reject"]
LONGEST_NAME = 40
HERE_S = 15.0
"""Seconds without a request after which a reviewer counts as gone."""
_NAME = re.compile(r"[^\x00-\x1f\x7f]+")
_answers: ContextVar[list[dict[str, Any]]] = ContextVar("answers")
KINDS = {"accept", "reject", "skip", "edit", "write", "draft", "note", "undo", "accept_all", "ask"} | READS - {"shown"}


class _Pane(ReviewPane):
    """The pane without a kernel: its messages become the response to the current request."""

    def send(self, content: Any, buffers: Any = None) -> None:
        _answers.get().append(content)


class OpenBatch:
    """A pending batch.

    Args:
        deadline_s: seconds from now; None waits indefinitely.
        default: what to do with undecided guidance.
        grace_s: seconds in which the last decision can be undone.
    """

    def __init__(
        self, queue: ReviewQueue, generation: int, step: int, deadline_s: float | None, default: Default, grace_s: float
    ):
        self.queue, self.generation, self.step = queue, generation, step
        self.default, self.grace_s, self.deadline_s = default, grace_s, deadline_s
        self.pane, self.id = _Pane(queue), uuid.uuid4().hex
        self.opened = time.time()
        self.deadline = None if deadline_s is None else time.monotonic() + deadline_s
        self.closed, self.why, self.closed_by = threading.Event(), "", ""
        self._version, self._changed = 0, dict.fromkeys((i.id for i in queue.items), 0)
        self._people: dict[str, float] = {}
        self._decided_at: float | None = None
        self._lock = threading.RLock()

    # ---- state for browsers

    def state(self, name: str, since: int) -> dict[str, Any]:
        """The state of the review; all rows for ``since`` = 0, else those changed since that version.

        Args:
            name: the reviewer; empty for a viewer.
        """
        with self._lock:
            if name:
                self._people[check_name(name)] = time.monotonic()
            rows = [self.pane.row(i) for i in self.queue.items if not since or self._changed[i.id] > since]
            state = {
                "open": not self.closed.is_set(),
                "here": True,
                "batch": self.id,
                "generation": self.generation,
                "step": self.step,
                "version": self._version,
                "items": rows,
                "default": self.default,
                "why": self.why,
                "people": self.people(),
                "left_s": _until(self.deadline),
                "goes_on_s": _until(None if self._decided_at is None else self._decided_at + self.grace_s),
                "undecided": sum(i.waits for i in self.queue.items),
            }
            if not since:
                state["traits"] = {k: v for k, v in self.pane.get_state().items() if not k.startswith("_") and k != "items"}
            return state

    def people(self) -> list[dict[str, Any]]:
        """Who is present, and how much each has decided."""
        done = Counter(i.who for i in self.queue.items if i.decided and i.who)
        now = time.monotonic()
        return [
            {"name": n, "decided": done.get(n, 0), "here": n in self._people and now - self._people[n] < HERE_S}
            for n in sorted({*self._people, *done})
        ]

    def heard(self, name: str, message: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Process one message of the pane, as ``name``; returns the pane's replies.

        Raises:
            ReviewError: for an invalid name, or a message that is not from the pane.
        """
        name = check_name(name)
        if message.get("kind") not in KINDS or not isinstance(message.get("n"), int):
            raise ReviewError("this is not a message of the review pane")
        said: list[dict[str, Any]] = []
        token = _answers.set(said)
        try:
            with self.queue.deciding(name):
                self.pane.handle(message)
        finally:
            _answers.reset(token)
        with self._lock:
            self._people[name] = time.monotonic()
            if message["kind"] not in READS:
                self._version += 1
                asked = message.get("ids") or []
                for id in {*(row["id"] for answer in said for row in answer.get("items", ())), *asked} & self._changed.keys():
                    self._changed[id] = self._version
                for answer in said:  # what undo did not revert, because another reviewer has changed it since
                    there = {row["id"] for row in answer.get("items", ())}
                    answer["items"] = [
                        *answer.get("items", ()),
                        *(self.pane.row(self.queue[i]) for i in asked if i in self._changed and i not in there),
                    ]
                self._decided_at = time.monotonic() if self._all_decided() else None
        return said

    # ---- closing

    def finish(self, name: str) -> None:
        """``name`` ends the review; undecided guidance gets the default."""
        self._close("ended by a reviewer", check_name(name))

    def tick(self) -> None:
        """Close the batch if it is due."""
        with self._lock:
            if self.deadline is not None and time.monotonic() >= self.deadline:
                self._close(f"the deadline of {self.deadline_s:g} s has passed", "")
            elif self._decided_at is not None and time.monotonic() >= self._decided_at + self.grace_s:
                self._close("everything was decided", "")

    def look(self) -> None:
        """For a batch that was decided in an earlier session."""
        with self._lock:
            if self._decided_at is None and self._all_decided():
                self._decided_at = time.monotonic()

    def _all_decided(self) -> bool:
        """Nothing is undecided, and no rejected reply is being edited. A batch of only rejected replies waits for reviewers:
        there is nothing to train on unless they rescue one."""
        items = self.queue.items
        return any(i.decided for i in items) and not any(i.waits or (not i.decided and i.draft is not None) for i in items)

    def _close(self, why: str, who: str) -> None:
        with self._lock:
            if self.closed.is_set():
                return
            self.why, self.closed_by = why, who
            with self.queue.locked():
                self.queue.apply(policy(self.default))
                self.queue.closed = f"this batch is closed ({why}{f', by {who}' if who else ''}); training has continued"
            self.closed.set()


def _until(when: float | None) -> float | None:
    return None if when is None else max(0.0, when - time.monotonic())


class Desk:
    """The pending batch, if any. ``run`` names the run."""

    def __init__(self, run: str = ""):
        self.run, self.last = run, ""
        self.batch: OpenBatch | None = None

    def lay(self, batch: OpenBatch | None) -> None:
        """Offer ``batch`` for review; None removes the last one."""
        if batch is None and self.batch is not None:
            self.last = self.batch.why
        self.batch = batch

    def state(self, name: str, batch: str, since: int) -> dict[str, Any]:
        """See ``OpenBatch.state``; complete if the browser has another batch."""
        open_ = self.batch
        if open_ is None:
            return {"open": False, "here": True, "run": self.run, "why": self.last}
        return {"run": self.run, **open_.state(name, since if batch == open_.id else 0)}

    def heard(self, sent: Any) -> dict[str, Any]:
        """``{"name", "batch", "message"}`` or ``{"name", "batch", "done": true}``.

        Raises:
            ReviewError: if it is invalid, or the batch is closed.
        """
        if not isinstance(sent, dict) or not isinstance(sent.get("name"), str):
            raise ReviewError("the reviewer's name is missing; enter one")
        batch = self.batch
        if batch is None or sent.get("batch") != batch.id or batch.closed.is_set():
            raise ReviewError("this batch is closed; training has continued")
        if sent.get("done") is True:
            batch.finish(sent["name"])
            return {"answers": []}
        if not isinstance(sent.get("message"), dict):
            raise ReviewError("the message is missing")
        return {"answers": batch.heard(sent["name"], sent["message"])}


def check_name(name: str) -> str:
    """The name to record in ``reviews.jsonl``.

    Raises:
        ReviewError: for an empty or long one, one with control characters, or one that looks like a policy's.
    """
    name = name.strip()
    if not name or len(name) > LONGEST_NAME or not _NAME.fullmatch(name):
        raise ReviewError(f"a name has 1 to {LONGEST_NAME} characters, on one line")
    if name.casefold().startswith("auto:"):
        raise ReviewError("names starting with 'auto:' are reserved for policies; choose another")
    return name


def policy(default: Default) -> Auto:
    """``default`` for ``queue.apply``. Undecided drafts are not trained on."""

    def reject(item: Item) -> bool:
        return False

    return reject if default == "reject" else default


def of_people(items: Iterable[Item]) -> str:
    """``ann 5, bob 3``: the number of decisions per reviewer."""
    done = Counter(i.who for i in items if i.decided and i.who)
    return ", ".join(f"{name} {n}" for name, n in done.most_common())
