"""``Decisions``: the review queue of the pending batch, opened once, and the guidance that results from it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, TypeAlias

from thinklab.errors import LabError
from thinklab.review.waiting import Waiting
from thinklab.types import Guidance

if TYPE_CHECKING:
    from thinklab.lab.engine import Engine
    from thinklab.review import queue
    from thinklab.review.item import Item
    from thinklab.review.queue import ReviewQueue

Auto: TypeAlias = "Literal['accept', 'accept_if_detected', 'reject'] | Callable[[Item], bool | str | None]"
"""``accept``, ``accept_if_detected``, ``reject``, or a function of a ``review.Item`` that returns True (accept), False
(reject), a text (edit) or None (leave it open)."""


class Decisions:
    """The queue of the pending batch, created on first access.

    Args:
        by: who decides.
    """

    def __init__(self, engine: Engine, by: str | None):
        self._engine, self._by = engine, by
        self._queue: ReviewQueue | None = None
        self._queue_for = ""  # key of the queue's batch

    def queue(self, waiting: Waiting) -> ReviewQueue:
        """Every decision about ``waiting``.

        Raises:
            LabError: if there is no teacher, or it has not been asked yet.
        """
        if self._engine.guide is None:
            raise LabError(
                f"the method {self._engine.config.loss.method!r} has no teacher, so there is nothing to review: lab.update(batch)"
            )
        if not waiting.guided:
            raise LabError("the teacher has not been asked yet: lab.guide(batch) first")
        if self._queue is None or self._queue_for != waiting.key:
            self._queue, self._queue_for = self._engine.queue(waiting, self._by), waiting.key
        return self._queue

    def guidance(self, waiting: Waiting, auto: Auto | None) -> dict[str, Guidance]:
        """The guidance to splice.

        Args:
            auto: decides undecided guidance; None raises an error instead.

        Raises:
            LabError: if something is undecided.
        """
        if self._engine.guide is None:
            return {}
        queue = self.queue(waiting)
        if auto is not None:
            queue.apply(policy(auto))
        left = [i for i in queue.items if i.waits]
        if left:
            raise LabError(
                f"{len(left)} of {len(queue)} pieces of guidance are undecided ({', '.join(i.id for i in left[:5])}"
                f"{', …' if len(left) > 5 else ''}): decide in lab.review(batch), or accept them unchanged with "
                "lab.update(batch, auto='accept'), or drop them with auto='reject'"
            )
        return queue.decided()

    def close(self, why: str = "this batch has been trained on; its decisions are final") -> None:
        """A pane that is still open must not accept decisions without effect; it becomes static HTML."""
        if self._queue is not None:
            self._queue.closed = why
            self._queue = None


def policy(auto: Auto) -> queue.Auto:
    """``auto`` in the form that ``ReviewQueue.apply`` accepts."""
    if auto == "reject":
        return lambda item: False
    return auto
