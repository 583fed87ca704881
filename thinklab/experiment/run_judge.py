"""The judge of a run: asks in batches, asks about no text twice, writes every verdict down and keeps to its caps.

    judge.jsonl    one line per text that was asked about: the question, the text, the judge's reply, what it means, the cost
    judge.json     what a paid judge has cost so far and what became of the requests; a cap holds over a resumed run

Only ``detect.py``'s judge detectors ask it. What they find goes where every detector's finding goes: ``behaviors`` in
``probe_samples.jsonl``, ``shows`` in ``spill.jsonl``, ``checks`` in ``rollouts.jsonl`` (there only with ``judge.rollouts``). A
text without a verdict (a cap, a reply in another form) is None there, counts in no rate, and is said aloud.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from thinklab.behavior.behavior import Behavior, load_behavior
from thinklab.behavior.judge import Judge, verdict
from thinklab.config.experiment import Experiment, JudgeSection
from thinklab.errors import BehaviorError, ConfigError, TeacherError
from thinklab.run.folder import RunFolder
from thinklab.teachers import Teacher, TeacherReply, TeacherRequest, load_teacher
from thinklab.teachers.base import check as check_teacher
from thinklab.teachers.base import restore, settle, should_stop
from thinklab.teachers.cache import KEPT_ERRORS
from thinklab.teachers.options import RemoteOptions
from thinklab.teachers.protocols import Estimates, KeepsAccount, SumsUp
from thinklab.types import Usage, to_json

LINES, TOTALS = "judge", "judge.json"
CHUNK = 128
"""Texts per call of the teacher: verdicts are on disk after each, so an interrupt loses none that came before."""
EXAMPLE = "judge: {teacher: anthropic, cap_usd: 1}"


class RunJudge:
    """A ``Teacher`` around the judge's own one.

    Args:
        load: makes the teacher; called when the first text is asked about, or by ``check``.
        section: the ``judge:`` of the config. Verdicts on disk count where they came from the same backend with the same options.
        name: for messages.
    """

    def __init__(self, load: Callable[[], Teacher], section: JudgeSection) -> None:
        self.name, self.section, self._load = section.teacher, section, load
        self.failed = ""
        """Why the judge cannot work any more; nobody is asked then."""
        self.open: Counter[str] = Counter()
        """Texts left without a verdict since ``complaint`` was last called, by reason."""
        self.asked = 0
        """Texts asked about since then."""
        self._teacher: Teacher | None = None
        self._run: RunFolder | None = None
        self._spent: Mapping[str, Any] | None = None
        self._known: dict[tuple[str, str], TeacherReply] = {}

    @property
    def teacher(self) -> Teacher:
        if self._teacher is None:
            self._teacher = self._load()
            if self._spent is not None:
                restore(self._teacher, self._spent)
        return self._teacher

    def check(self) -> None:
        """Finds out before anything is sampled whether the judge can work.

        Raises:
            TeacherError: when it cannot.
        """
        check_teacher(self.teacher)

    def attach(self, run: RunFolder) -> None:
        """Write to ``run`` from now on, and go on from the verdicts and the costs that are there."""
        self._run, self._spent = run, run.read_json(TOTALS)
        if self._spent is not None and self._teacher is not None:
            restore(self._teacher, self._spent)
        for line in run.read(LINES):
            if line["judge"] == self.identity and line["error"] in KEPT_ERRORS:
                self._known[line["question"], line["text"]] = reply_of(line)

    @property
    def identity(self) -> str:
        """12 hex digits over what determines the verdicts: backend, model and the like, but no cap and no patience."""
        patience = (set(RemoteOptions.model_fields) - {"max_tokens", "max_student_chars"}) | {"rollouts"}
        what = {k: v for k, v in self.section.model_dump(mode="json").items() if k not in patience}
        return hashlib.sha256(json.dumps(what, sort_keys=True, default=str).encode()).hexdigest()[:12]

    def reply(self, requests: Sequence[TeacherRequest]) -> list[TeacherReply]:
        """One reply per request, same order. Never raises for a judge that cannot work: see ``failed``."""
        self.asked += len(requests)
        new = [r for r in requests if (r.example.question, r.response) not in self._known]
        replies: dict[str, TeacherReply] = {}
        for start in range(0, len(new), CHUNK):
            part = new[start : start + CHUNK]
            replies |= {r.id: reply for r, reply in zip(part, self._ask(part), strict=True)}
        found = []
        for request in requests:
            key = request.example.question, request.response
            reply = self._known.get(key) or replies[request.id]
            if not verdict(reply, request.response).decided:
                self.open[reply.error or "not in the asked form"] += 1
            if reply.error in KEPT_ERRORS:
                self._known[key] = reply
            found.append(reply)
        return found

    def _ask(self, requests: Sequence[TeacherRequest]) -> list[TeacherReply]:
        if self.failed:
            return [TeacherReply(r.id, error="judge-failed", detail=self.failed) for r in requests]
        try:
            replies = list(self.teacher.reply(requests))
            if self._run is not None:
                self._run.append(LINES, (self._line(r, reply) for r, reply in zip(requests, replies, strict=True)))
            return replies
        except TeacherError as error:  # it will never answer again: what was sampled is kept all the same
            self.failed = str(error)
            return self._ask(requests)
        finally:  # also after an interrupt: a cap holds over all sittings
            settle(self._teacher)
            self.write_totals()

    def write_totals(self) -> None:
        """What the judge has cost so far, into ``judge.json``."""
        if self._run is not None and isinstance(self._teacher, KeepsAccount):
            self._run.write_json(TOTALS, self._teacher.totals())

    def _line(self, request: TeacherRequest, reply: TeacherReply) -> dict[str, Any]:
        found = verdict(reply, request.response)
        quote = request.response[slice(*found.spans[0])] if found.spans else ""
        return {
            "judge": self.identity,
            "id": request.id,
            "question": request.example.question,
            "text": request.response,
            "found": found.found if found.decided else None,
            "quote": quote,
            "why": found.why,
            "reply": reply.text,
            "error": reply.error,
            "detail": reply.detail,
            "model": reply.model,
            "usage": to_json(reply.usage),
            "latency_s": reply.latency_s,
            "attempts": reply.attempts,
            "cache_hit": reply.cache_hit,
        }

    def complaint(self) -> str:
        """How many texts got no verdict since the last call, and why; empty when each got one."""
        missing, asked = sum(self.open.values()), self.asked
        why = ", ".join(f"{reason} {n}" for reason, n in self.open.most_common())
        self.open, self.asked = Counter(), 0
        if not missing:
            return ""
        because = f" The judge cannot work any more: {self.failed}." if self.failed else ""
        return (
            f"WARNING: the judge gave no verdict on {missing} of {asked} texts ({why}); they count in no rate of a behavior."
            f"{because} {LINES}.jsonl has every reply"
        )

    def estimate(self, behavior: Behavior, texts: int, longest: int) -> str:
        """What ``texts`` verdicts on texts of at most ``longest`` tokens cost at most, in words; empty for a free judge."""
        if not isinstance(self.teacher, Estimates):
            return ""
        text = "word " * longest
        sample = [part.request(text) for part in judges(behavior)]
        return str(self.teacher.estimate(sample, texts * len(sample)))

    def summary(self) -> str:
        """One line for the end; empty for a free judge, and for one that nobody had to load."""
        return self._teacher.summary() if isinstance(self._teacher, SumsUp) else ""

    @property
    def stopped(self) -> str:
        """Why the run should be saved and stopped; empty while it may go on."""
        return f"the judge: {self.failed}" if self.failed else should_stop(self._teacher)


def judges(behavior: Behavior) -> list[Judge]:
    """The judges inside a behavior's detector."""
    from thinklab.behavior.detector_spec import JudgeSpec, walk

    return [Judge(part.judge) for part in walk(behavior.spec.detector) if isinstance(part, JudgeSpec)]


def reply_of(line: Mapping[str, Any]) -> TeacherReply:
    """The reply in a line of ``judge.jsonl``, marked as one that costs nothing now."""
    return TeacherReply(
        line["id"],
        line["reply"],
        error=line["error"],
        detail=line["detail"],
        model=line["model"],
        usage=Usage(**line["usage"]),
        latency_s=line["latency_s"],
        attempts=line["attempts"],
        cache_hit=True,
    )


def judge_for(
    section: JudgeSection | None, behaviors: Sequence[Behavior], ready_made: Any = None, student: Any = None
) -> RunJudge | None:
    """The judge that ``behaviors`` need; None where none needs one.

    Args:
        ready_made: a teacher, or the ``RunJudge`` of another run, in place of what ``section`` would load.
        student: for a backend that takes one (``self``).

    Raises:
        ConfigError: when one is needed and there is none; the message says what to add.
    """
    if not any(b.needs_judge for b in behaviors):
        return None
    if isinstance(ready_made, RunJudge):
        return ready_made
    if ready_made is not None:
        section = section or JudgeSection(teacher=ready_made.name)
        return RunJudge(lambda: ready_made, section)
    check_judged(section, behaviors)
    assert section is not None, "check_judged refuses a judge that nobody named"
    return RunJudge(lambda: load_teacher(section.teacher, student=student, **section.options), section)


def check_judged(section: JudgeSection | None, behaviors: Sequence[Behavior], bonus: Mapping[str, float] = {}) -> None:
    """Refuse a judge detector that nobody could answer for, and one that would earn a bonus.

    Raises:
        ConfigError: naming the behavior and what to change.
    """
    for behavior in behaviors:
        if not behavior.needs_judge:
            continue
        if section is None:
            raise ConfigError(
                f"the detector of the behavior {behavior.name!r} asks a judge and the config names none; add a "
                f"section such as '{EXAMPLE}', with any teacher of docs/choose-a-teacher.md and its options"
            )
        if bonus.get(behavior.name):
            raise ConfigError(
                f"reward.bonus.{behavior.name} is {bonus[behavior.name]:g}, but the detector of "
                f"{behavior.name!r} asks a judge, which is for probes only: take the bonus out"
            )


def check_config(config: Experiment, behaviors: Sequence[Behavior], ready_made: Any = None) -> None:
    """``check_judged`` for an experiment.

    Raises:
        ConfigError: as that.
    """
    section = config.judge or (JudgeSection(teacher="ready-made") if ready_made is not None else None)
    check_judged(section, behaviors, config.reward.bonus)


def check_lines(config: Experiment, at: Callable[[tuple], str]) -> None:
    """``check_config`` while a file is read: the error names the line of the behavior. For ``load_config``.

    Raises:
        ConfigError: as ``check_config``.
    """
    for k, section in enumerate(config.behaviors):
        try:
            check_config(config, [load_behavior(section.name)])
        except BehaviorError:  # building the run says what is wrong inside the file
            continue
        except ConfigError as error:
            raise ConfigError(f"{at(('behaviors', k))}: {error}") from None
