"""``ask`` and ``ask_again`` of the Lab: one request at a time, each reply stored as it arrives.

``Guide.propose`` asks about a whole batch in one call, which suits an unattended run. Here each reply of a network teacher is
passed on at once, so an interrupt or a failure loses no paid reply.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import suppress
from dataclasses import replace

from thinklab.behavior.behavior import Behavior
from thinklab.errors import TeacherError
from thinklab.guide.guide import Guide
from thinklab.teachers import TeacherReply
from thinklab.teachers.protocols import AnswersAfresh, AnswersLater
from thinklab.types import Guidance, Rollout

Chosen = Sequence[tuple[Rollout, Behavior]]
POLL_S = 0.1


def ask(
    guide: Guide,
    chosen: Chosen,
    keep: Callable[[list[Guidance]], None],
    check: Callable[[], None] = lambda: None,
    meanwhile: Callable[[], object] = lambda: None,
) -> None:
    """Ask about every rollout in ``chosen``.

    Args:
        keep: receives the guidance as it arrives, in parts.
        check: called often; an exception from it ends the requests.
        meanwhile: called once the first requests are sent to a service.

    Raises:
        TeacherError: if the teacher fails; earlier replies are kept.
    """
    if not chosen:
        return
    if not isinstance(guide.teacher, AnswersLater):  # it runs on this machine and batches by itself
        replies = guide.teacher.reply([guide.request(r, b) for r, b in chosen])
        keep([guide.parse(r, b, reply) for (r, b), reply in zip(chosen, replies, strict=True)])
        return
    alike: dict[tuple[str, str, str], list[tuple[Rollout, Behavior]]] = {}  # duplicate answers are sent once
    for rollout, behavior in chosen:
        alike.setdefault((behavior.hash, rollout.example.question, rollout.student_text), []).append((rollout, behavior))
    same = list(alike.values())
    first = {
        group[0][1].hash: group for group in reversed(same)
    }  # the first request of each behavior fills the service's prompt cache
    _wave(guide, guide.teacher, list(first.values()), keep, check, meanwhile)
    _wave(guide, guide.teacher, [g for g in same if not any(g is f for f in first.values())], keep, check)


def _wave(
    guide: Guide,
    teacher: AnswersLater,
    groups: list[list[tuple[Rollout, Behavior]]],
    keep: Callable[[list[Guidance]], None],
    check: Callable[[], None],
    meanwhile: Callable[[], object] = lambda: None,
) -> None:
    waiting = {teacher.submit([guide.request(*group[0])]): group for group in groups}

    def harvest(done: Iterable[Future[list[TeacherReply]]]) -> None:
        got: list[Guidance] = []
        failed: TeacherError | None = None
        for future in done:
            group = waiting.pop(future)
            try:
                reply = future.result()[0]
            except TeacherError as error:
                failed = error
                continue
            got += [guide.parse(r, b, _for(reply, r, k)) for k, (r, b) in enumerate(group)]
        if got:
            keep(got)
        if failed is not None:
            raise failed

    try:
        meanwhile()
        while waiting:
            harvest(wait(waiting, POLL_S, FIRST_COMPLETED).done)
            if waiting:
                check()
    except BaseException:
        for future in waiting:
            future.cancel()
        with suppress(TeacherError):  # replies that arrived in the meantime were paid for
            harvest([f for f in waiting if f.done() and not f.cancelled()])
        raise


def _for(reply: TeacherReply, rollout: Rollout, place: int) -> TeacherReply:
    """The reply to one of several identical answers; only the first one cost anything."""
    return replace(reply, id=rollout.id, cache_hit=reply.cache_hit or (place > 0 and not reply.error))


def ask_again(guide: Guide, rollout: Rollout, behavior: Behavior, before: Guidance | None) -> Guidance | None:
    """A new reply about one rollout, bypassing thinklab's cache; None if it equals the previous one."""
    again = guide.teacher.again if isinstance(guide.teacher, AnswersAfresh) else guide.teacher.reply
    found = guide.parse(rollout, behavior, again([guide.request(rollout, behavior)])[0])
    return None if before is not None and found.raw == before.raw and found.reason == before.reason else found
