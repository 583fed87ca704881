"""``ReviewQueue``: accept, reject, edit, skip, undo, annotate, filter; policies; resumes from ``reviews.jsonl``.

Plain records, no widget.

    queue = ReviewQueue(rollouts, guide.propose(rollouts, step, generation), guide, rewards, run)
    queue.edit("0-3", "I check: 12+7=19. So \\boxed{19}.")
    queue.accept_all()                      # items that the detector accepts and whose verdict is right
    rollouts = guide.splice(rollouts, queue.decided())

Every decision is written to ``reviews.jsonl`` in the run folder before it takes effect. The file is append-only; an undo is a
line too. A new queue over the same rollouts reads the file and restores the state.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from thinklab.behavior.behavior import Behavior
from thinklab.errors import ReviewError, did_you_mean
from thinklab.guide.guide import Guide
from thinklab.review import table
from thinklab.review.agreement import ReviewerAgreement, agreement
from thinklab.review.checks import Doubt, doubts
from thinklab.review.effect import Effect, Groups
from thinklab.review.item import Item, Preview, State, clean, preview
from thinklab.review.record import FILE, QUIET, account, key_of, line_of, now
from thinklab.rewards import Rewards
from thinklab.run.folder import RunFolder
from thinklab.types import Guidance, Rollout, guidance_from_json

Auto = Literal["accept", "accept_if_detected"] | Callable[[Item], bool | str | None]


class ReviewQueue:
    """The guided rollouts of one generation, and every decision about them.

    Args:
        rollouts: of one or several generations; those without guidance need no decision, but are shown with their group.
        proposals: by rollout id, as ``Guide.propose`` returns them; rejected ones can be rewritten.
        guide: provides the behaviors, the tokenizer, and the token limit for guidance.
        rewards: for the truth and the reward preview.
        run: the folder of ``reviews.jsonl``; None keeps decisions in memory only.
        ask: asks the teacher again about one rollout; None if that is not possible.
        by: the reviewer; the account name by default.
        imitates: the method trains on guided texts with weight 1, whatever their advantage.

    Raises:
        ReviewError: for guidance of a behavior that ``guide`` does not know.
    """

    def __init__(
        self,
        rollouts: Sequence[Rollout],
        proposals: Mapping[str, Guidance],
        guide: Guide,
        rewards: Rewards | None = None,
        run: RunFolder | None = None,
        ask: Callable[[Rollout], Guidance | None] | None = None,
        by: str | None = None,
        imitates: bool = False,
    ):
        self.guide, self.rewards, self.run, self.ask = guide, rewards, run, ask
        self._person = threading.local()
        self.by = by or account()
        self._behaviors = {b.name: b for b, _ in guide.behaviors}
        self._items: dict[str, Item] = {}
        self._previews: dict[tuple[str, str], Preview] = {}
        self.groups = None if rewards is None else Groups(rollouts, rewards, imitates)
        self._history: list[tuple[str, Item, str]] = []
        """(action, the item before it, mark of a joint decision) of everything that can be undone."""
        self._closed = ""
        self.when_closed: list[Callable[[], None]] = []
        """Called when ``closed`` is set, so that a view can become static."""
        self._lock = threading.RLock()  # widget callbacks may run on another thread than the cell
        for rollout in rollouts:
            said = proposals.get(rollout.id)
            if said is not None:
                if said.behavior not in self._behaviors:
                    raise ReviewError(
                        f"rollout {rollout.id} has guidance of the behavior {said.behavior!r}, which is not among "
                        f"those of this run: {', '.join(self._behaviors)}"
                    )
                self._items[rollout.id] = self._fresh(len(self._items), rollout, said)
        self._replay()

    # ---- who decides

    @property
    def by(self) -> str:
        """The reviewer: the name set by ``deciding`` on this thread, else the last one given."""
        return getattr(self._person, "name", None) or self._by

    @by.setter
    def by(self, name: str) -> None:
        self._by = name

    @contextmanager
    def deciding(self, name: str) -> Iterator[None]:
        """Decisions inside, on this thread, are attributed to ``name``. ``undo`` then reverts the last decision of ``name``
        that nobody has changed since, not another reviewer's."""
        self._person.name = name
        try:
            yield
        finally:
            self._person.name = None

    @contextmanager
    def locked(self) -> Iterator[None]:
        """No other thread decides inside this block."""
        with self._lock:
            yield

    def _may_undo(self, id: str) -> bool:
        name = getattr(self._person, "name", None)
        return name is None or self._items[id].who == name

    # ---- results

    @property
    def items(self) -> list[Item]:
        return list(self._items.values())

    @property
    def closed(self) -> str:
        """Why the review is closed; empty while it is open."""
        return self._closed

    @closed.setter
    def closed(self, why: str) -> None:
        self._closed = why
        for call in self.when_closed if why else ():
            call()

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, id: str) -> Item:
        """Raises ReviewError for an id that is not in the queue."""
        if id not in self._items:
            raise ReviewError(f"there is no guidance for the rollout {id!r} in this review{did_you_mean(id, self._items)}")
        return self._items[id]

    def behavior_of(self, id: str) -> Behavior:
        return self._behaviors[self[id].behavior]

    def counts(self) -> Counter[str]:
        """How many items are in which state."""
        return Counter(item.state for item in self.items)

    def recent(self, n: int = 10) -> list[Item]:
        """The most recently decided items, newest first; each once."""
        ids = dict.fromkeys(before.id for action, before, _ in reversed(self._history) if action not in QUIET)
        return [self._items[i] for i in ids if self._items[i].state not in ("open", "refused")][:n]

    def filter(
        self,
        verdict: Literal["correct", "incorrect", "agrees", "disagrees"] | None = None,
        behavior: str | None = None,
        detector: bool | None = None,
        question: str = "",
        state: State | None = None,
        text: str = "",
        tag: str = "",
    ) -> list[Item]:
        """Items that match all given filters.

        Args:
            verdict: the teacher's verdict, or whether it is right.
            behavior: the name of the requested behavior.
            detector: whether it finds the behavior with the current text.
            question: a part of the question's text, case-insensitive.
            text: a part of anything: question, answer, guidance, raw reply, note, tags, ids, names.
            tag: one of its tags.
        """
        tests: dict[str | None, Callable[[Item], bool]] = {
            None: lambda i: True,
            "correct": lambda i: i.verdict is True,
            "incorrect": lambda i: i.verdict is False,
            "agrees": lambda i: i.agrees is True,
            "disagrees": lambda i: i.agrees is False,
        }
        if verdict not in tests:
            raise ReviewError(
                f"unknown verdict {verdict!r}{did_you_mean(str(verdict), filter(None, tests))}; "
                f"one of {', '.join(filter(None, tests))}"
            )
        return [
            i
            for i in self.items
            if tests[verdict](i)
            and behavior in (None, i.behavior)
            and state in (None, i.state)
            and question.casefold() in i.question.casefold()
            and text.casefold() in _everything(i).casefold()
            and (not tag or tag in i.tags)
            and (detector is None or self.preview(i.id).found is detector)
        ]

    def preview(self, id: str, text: str | None = None) -> Preview:
        """The effect of ``text`` (default: the current text) as guidance for this rollout."""
        item = self[id]
        text = item.current if text is None else clean(text)
        if (id, text) not in self._previews:
            if len(self._previews) > 4096:
                self._previews.clear()
            self._previews[id, text] = preview(item, text, self._behaviors[item.behavior], self.guide, self.rewards)
        return self._previews[id, text]

    def doubts(self, id: str) -> list[Doubt]:
        """Reasons not to accept it unread; [] for one that ``accept_all`` accepts."""
        return doubts(self[id], self.preview(id))

    def effect(self, id: str, text: str | None = None) -> Effect | None:
        """The effect of accepting ``text`` (default: the current text) and of rejecting it on the advantages of its group;
        None without ``rewards``, or if a detector cannot run here."""
        item = self[id]
        if self.groups is None:
            return None
        separators = {name: b.separator for name, b in self._behaviors.items()}
        return self.groups.effect(item, item.current if text is None else clean(text), separators, self._items)

    def deciders(self, id: str) -> list[str]:
        """The reviewers who have decided about it so far, without policies and undone decisions."""
        item = self[id]
        found = {before.who for _, before, _ in self._history if before.id == id and before.decided}
        return sorted(who for who in found | ({item.who} if item.decided else set()) if who and not who.startswith("auto:"))

    def agreement(self) -> list[ReviewerAgreement]:
        """The agreement of every two reviewers who decided about the same guidance of this run; [] without a run folder."""
        return [] if self.run is None else agreement(self.run.read(FILE))

    def export(self, path: str | Path) -> Path:
        """Write the current decisions as a table; the file extension selects ``.csv`` or ``.jsonl``."""
        path = Path(path)
        path.write_text(table.as_text(self.items, path.suffix.removeprefix(".")), "utf-8")
        return path

    def decided(self) -> dict[str, Guidance]:
        """Guidance by rollout id, for ``Guide.splice``. Skipped and open ones keep their original status: ``proposed``
        (spliced unchanged) or ``rejected``. Call ``apply`` first for another rule."""
        return {item.id: item.guidance for item in self.items}

    # ---- decisions: first on disk, then in memory

    def accept(self, id: str) -> Item:
        """Accept the current text: ``edited`` if it differs from the teacher's.

        Raises:
            ReviewError: if there is none, or it cannot be spliced.
        """
        return self._settle(id, self[id].current, "accept")

    def reject(self, id: str, why: str = "") -> Item:
        """Reject the guidance and keep the rollout as sampled; ``why`` is recorded."""
        return self._decide(id, "reject", state="rejected", why=_line(why))

    def annotate(self, id: str, tags: Iterable[str] | None = None, note: str | None = None) -> Item:
        """Replace its tags, its note, or both; not a decision, so undo ignores it."""
        item = self[id]
        kept = item.tags if tags is None else tuple(dict.fromkeys(filter(None, map(_line, tags))))
        note = item.note if note is None else clean(note)
        if (kept, note) == (item.tags, item.note):
            return item
        return self._decide(id, "note", tags=kept, note=note, draft=item.draft, who=item.who, when=item.when, why=item.why)

    def edit(self, id: str, text: str) -> Item:
        """Accept ``text`` instead of the teacher's.

        Raises:
            ReviewError: when it cannot be spliced; it is then kept as a draft.
        """
        return self._settle(id, text, "edit")

    def write(self, id: str, text: str) -> Item:
        """Like ``edit``, but the record says that a person wrote it from scratch."""
        return self._settle(id, text, "write")

    def draft(self, id: str, text: str) -> Item:
        """Save an unfinished text; the item's decision is unchanged."""
        item, text = self[id], clean(text)
        return item if text == item.current else self._decide(id, "draft", draft=text)

    def skip(self, id: str) -> Item:
        """Defer it; a draft is kept."""
        return self._decide(id, "skip", state="skipped", draft=self[id].draft)

    def ask_again(self, id: str) -> Item:
        """Replace the teacher's reply with a new one; the item becomes open again.

        Raises:
            ReviewError: if this teacher cannot be asked, or has no other answer.
        """
        item = self[id]
        if self.ask is None:
            raise ReviewError("this teacher cannot be asked again; write the guidance yourself")
        said = self.ask(item.rollout)
        if said is None:
            raise ReviewError(f"the teacher has no other answer about {id}")
        return self._decide(id, "ask", said=said, text=said.text, state="open" if said.usable else "refused")

    def undo(self) -> list[Item]:
        """Undo the last decision; a joint decision is undone as a whole. Later drafts are dropped.

        Returns:
            The items in their new state; [] if there was nothing to undo.
        """
        with self._lock:
            real = [k for k, (action, before, _) in enumerate(self._history) if action not in QUIET and self._may_undo(before.id)]
            if not real:
                return []
            mark, ids = self._history[real[-1]][2], [self._history[real[-1]][1].id]
            if mark:
                ids = [before.id for _, before, m in self._history if m == mark and self._may_undo(before.id)]
            self._write([{**line_of(self._items[ids[0]], "undo", self.by, now()), "undone": ids}])
            return self._take_back(ids)

    def accept_all(self, ids: Iterable[str] | None = None) -> list[Item]:
        """Accept every undecided item (of ``ids``) without ``doubts``: the detector finds the behavior, the verdict is right,
        no limit is violated, and there is no draft.

        One undo reverts all of it.
        """
        with self._lock:
            good = [i for i in self._undecided(ids) if not self.doubts(i.id)]
            return self._together([(i, "accept", self._settled(i, i.current)) for i in good])

    def apply(self, auto: Auto, ids: Iterable[str] | None = None) -> list[Item]:
        """Decide every undecided item automatically; returns the decided items.

        Args:
            auto: ``accept`` accepts all that can be spliced and rejects the rest, ``accept_if_detected`` also rejects what the
                detector does not find. Both use the teacher's text: an unfinished draft is not trained on.
                A callable gets the ``Item`` and returns True (accept), False (reject), a text (edit) or None (leave undecided).

        Raises:
            ReviewError: for an unknown policy, or an invalid return value; nothing is decided then.
        """
        name = auto if isinstance(auto, str) else getattr(auto, "__name__", "callable")
        with self._lock:
            by, self.by = self.by, f"auto: {name}"
            try:
                steps = []
                for item in self._undecided(ids):
                    answer = self._policy(auto, item)
                    text = clean(answer) if isinstance(answer, str) else item.text
                    if answer is None:
                        continue
                    if answer is False or not self.preview(item.id, text).fits:
                        steps.append((item, "reject", {"state": "rejected"}))
                    else:
                        steps.append((item, "edit" if isinstance(answer, str) else "accept", self._settled(item, text)))
                return self._together(steps)
            finally:
                self.by = by

    # ---- inside

    def _fresh(self, number: int, rollout: Rollout, said: Guidance) -> Item:
        truth = rollout.checks.get("student_correct")
        if truth is None and self.rewards is not None:
            truth = self.rewards.verify(rollout.student_text, rollout.example)
        return Item(number, rollout, said, said.text, "open" if said.usable else "refused", truth)

    def _undecided(self, ids: Iterable[str] | None) -> list[Item]:
        return [i for i in (self.items if ids is None else map(self.__getitem__, ids)) if not i.decided]

    def _policy(self, auto: Auto, item: Item) -> bool | str | None:
        if auto == "accept":
            return True
        if auto == "accept_if_detected":
            return bool(self.preview(item.id, item.text).found)
        if not callable(auto):
            raise ReviewError(
                f"unknown policy {auto!r}{did_you_mean(str(auto), ('accept', 'accept_if_detected'))}; "
                "one of accept, accept_if_detected, or a function of an Item"
            )
        answer = auto(item)
        if answer is not None and not isinstance(answer, bool | str):
            raise ReviewError(f"the policy returned {answer!r} for {item.id}; expected True, False, a text or None")
        return answer

    def _settled(self, item: Item, text: str) -> dict[str, Any]:
        same = item.said.usable and text == item.said.text
        return {"text": text, "state": "accepted" if same else "edited"}

    def _settle(self, id: str, text: str, action: str) -> Item:
        item, text = self[id], clean(text)
        if problem := self.preview(id, text).problem:
            if not text and not item.said.usable:
                problem = f"the teacher's reply was refused ({item.said.detail or item.said.reason})"
            self.draft(id, text)
            raise ReviewError(f"rollout {id} cannot take this guidance: {problem}. Change the text, ask again or reject it")
        return self._decide(id, action, **self._settled(item, text))

    def _decide(self, id: str, action: str, **change: Any) -> Item:
        with self._lock:
            return self._together([(self[id], action, change)])[0]

    def _together(self, steps: Sequence[tuple[Item, str, dict[str, Any]]]) -> list[Item]:
        """Several decisions as one: all written to disk, or none."""
        when = now()
        mark = f"{when} {len(self._history)}" if len(steps) > 1 else ""
        fresh = {"draft": None, "why": "", "who": self.by, "when": when}
        after = [(item, action, replace(item, **{**fresh, **change})) for item, action, change in steps]
        self._write([line_of(new, action, self.by, when, mark) for _, action, new in after])
        for item, action, new in after:
            self._history.append((action, item, mark))
            self._items[item.id] = new
        return [new for _, _, new in after]

    def _write(self, lines: list[dict[str, Any]]) -> None:
        if self.closed and lines:
            raise ReviewError(self.closed)
        if self.run is not None and lines:
            self.run.append(FILE, lines)

    def _take_back(self, ids: Sequence[str]) -> list[Item]:
        """Every item of ``ids`` in its state before the last decision."""
        for i in ids:
            while True:
                k = max((k for k, (_, before, _) in enumerate(self._history) if before.id == i), default=None)
                if k is None:
                    break
                action, before, _ = self._history.pop(k)
                self._items[i] = replace(before, tags=self._items[i].tags, note=self._items[i].note)
                if action not in QUIET:
                    break
        return [self._items[i] for i in ids]

    def _replay(self) -> None:
        """Load the decisions about these rollouts from the file."""
        if self.run is None:
            return
        keys = {i: key_of(item.rollout) for i, item in self._items.items()}
        for line in self.run.read(FILE):
            item = self._items.get(line["rollout"])
            if item is None or line["key"] != keys[item.id]:
                continue
            if line["action"] == "undo":
                self._take_back([i for i in line["undone"] if i in self._items])
                continue
            if line["action"] == "note":
                self._history.append(("note", item, ""))
                self._items[item.id] = replace(item, tags=tuple(line["tags"]), note=line["note"])
                continue
            said = guidance_from_json(line["guidance"]) if line["action"] == "ask" else item.said
            if said.text != line["said"] and line["state"] not in ("edited", "open", "refused"):
                continue  # the teacher's reply has changed since it was accepted, rejected or skipped
            text = said.text if line["edited"] is None else line["edited"]
            self._history.append((line["action"], item, line.get("together", "")))
            change = {"state": line["state"], "draft": line.get("draft"), "why": line.get("why", "")}
            self._items[item.id] = replace(item, said=said, text=text, who=line["who"], when=line["when"], **change)


def _everything(item: Item) -> str:
    """All text about it, for a search."""
    said, rollout = item.said, item.rollout
    parts = (item.id, item.question, item.student_text, rollout.example.gold, said.text, said.raw, item.text, item.draft or "")
    return "\n".join((*parts, item.behavior, said.detail, item.who, item.why, item.note, *item.tags))


def _line(text: str) -> str:
    """Text from an input field, as one line."""
    return " ".join(clean(text).split())
