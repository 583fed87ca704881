"""``RunJudge``: asks a run's judge in batches, records ``judge.jsonl``, keeps its caps; which configs need one.

    judge.jsonl    one line per judged text: the question, the text, the judge's reply, the verdict, the cost
    judge.json     the cost of a paid judge so far and the outcomes of its requests; a cap also covers a resumed run

Only judge detectors use it. Their results are recorded like those of every detector: ``behaviors`` in
``probe_samples.jsonl``, ``shows`` in ``spill.jsonl``, ``checks`` in ``rollouts.jsonl`` (there only with ``judge.rollouts``). A
text without a verdict (a cap, a reply in another format) is None there, is excluded from all rates, and is reported.
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
from thinklab.teachers.protocols import Estimates, KeepsAccount, SumsUp, WorksAtOnce
from thinklab.types import Usage, to_json

LINES, TOTALS = "judge", "judge.json"
CHUNK = 128
"""Texts per call of the teacher: verdicts are on disk after each call, so an interrupt loses no earlier ones."""
EXAMPLE = "judge: {teacher: anthropic, cap_usd: 1}"


class RunJudge:
    """A ``Teacher`` around the judge's own one.

    Args:
        load: creates the teacher; called at the first text, or by ``check``.
        section: the ``judge:`` of the config. Verdicts on disk are reused if they came from the same backend with the same options.
        name: for messages.
    """

    def __init__(self, load: Callable[[], Teacher], section: JudgeSection) -> None:
        self.name, self.section, self._load = section.teacher, section, load
        self.failed = ""
        """Why the judge failed permanently; it is not called then."""
        self.open: Counter[str] = Counter()
        """Texts left without a verdict since ``complaint`` was last called, by reason."""
        self.asked = 0
        """Texts judged since then."""
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
        """Checks before sampling whether the judge works.

        Raises:
            TeacherError: if it does not.
        """
        check_teacher(self.teacher)

    def attach(self, run: RunFolder) -> None:
        """Write to ``run`` from now on, and load its existing verdicts and costs."""
        self._run, self._spent = run, run.read_json(TOTALS)
        if self._spent is not None and self._teacher is not None:
            restore(self._teacher, self._spent)
        for line in run.read(LINES):
            if line["judge"] == self.identity and line["error"] in KEPT_ERRORS:
                self._known[line["question"], line["text"]] = reply_of(line)

    @property
    def identity(self) -> str:
        """12 hex digits over what determines the verdicts: backend, model, and so on, but no caps or retry settings."""
        patience = (set(RemoteOptions.model_fields) - {"max_tokens", "max_student_chars"}) | {"rollouts"}
        what = {k: v for k, v in self.section.model_dump(mode="json").items() if k not in patience}
        return hashlib.sha256(json.dumps(what, sort_keys=True, default=str).encode()).hexdigest()[:12]

    def reply(self, requests: Sequence[TeacherRequest]) -> list[TeacherReply]:
        """One reply per request, same order. Never raises if the judge fails: see ``failed``."""
        self.asked += len(requests)
        new = [r for r in requests if (r.example.question, r.response) not in self._known]
        replies: dict[str, TeacherReply] = {}
        chunk = self._chunk() if new else CHUNK
        for start in range(0, len(new), chunk):
            part = new[start : start + chunk]
            replies |= {r.id: reply for r, reply in zip(part, self._ask(part), strict=True)}
        found = []
        for request in requests:
            key = request.example.question, request.response
            reply = self._known.get(key) or replies[request.id]
            if not verdict(reply, request.response).decided:
                self.open[reply.error or "not in the required format"] += 1
            if reply.error in KEPT_ERRORS:
                self._known[key] = reply
            found.append(reply)
        return found

    def _chunk(self) -> int:
        """Texts per call: all of them at once for a judge that answers in batches."""
        if self.failed:
            return CHUNK
        return max(CHUNK, self.teacher.concurrency if isinstance(self.teacher, WorksAtOnce) else 0)

    def _ask(self, requests: Sequence[TeacherRequest]) -> list[TeacherReply]:
        if self.failed:
            return [TeacherReply(r.id, error="judge-failed", detail=self.failed) for r in requests]
        try:
            replies = list(self.teacher.reply(requests))
            if self._run is not None:
                self._run.append(LINES, (self._line(r, reply) for r, reply in zip(requests, replies, strict=True)))
            return replies
        except TeacherError as error:  # it will never answer again: the samples are kept anyway
            self.failed = str(error)
            return self._ask(requests)
        finally:  # also after an interrupt: a cap covers all sessions
            settle(self._teacher)
            self.write_totals()

    def write_totals(self) -> None:
        """Write the judge's cost so far to ``judge.json``."""
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
        """How many texts got no verdict since the last call, and why; empty if all got one."""
        missing, asked = sum(self.open.values()), self.asked
        why = ", ".join(f"{reason} {n}" for reason, n in self.open.most_common())
        self.open, self.asked = Counter(), 0
        if not missing:
            return ""
        because = f" The judge has failed: {self.failed}." if self.failed else ""
        return (
            f"WARNING: the judge gave no verdict on {missing} of {asked} texts ({why}); they are excluded from all behavior rates."
            f"{because} {LINES}.jsonl has every reply"
        )

    def estimate(self, behavior: Behavior, texts: int, longest: int) -> str:
        """The maximum cost of ``texts`` verdicts on texts of at most ``longest`` tokens; empty for a free judge."""
        if not isinstance(self.teacher, Estimates):
            return ""
        text = "word " * longest
        sample = [part.request(text) for part in judges(behavior)]
        return str(self.teacher.estimate(sample, texts * len(sample)))

    def summary(self) -> str:
        """One line for the end; empty for a free judge, or one that was never loaded."""
        return self._teacher.summary() if isinstance(self._teacher, SumsUp) else ""

    @property
    def stopped(self) -> str:
        """Why the run should be saved and stopped; empty while it may continue."""
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
    """The judge that ``behaviors`` need; None if none needs one.

    Args:
        ready_made: a teacher, or the ``RunJudge`` of another run, instead of loading ``section``.
        student: for a backend that takes one (``self``).

    Raises:
        ConfigError: if one is needed but missing; the message says what to add.
    """
    if not any(b.needs_judge for b in behaviors):
        return None
    if isinstance(ready_made, RunJudge):
        return ready_made
    if ready_made is not None:
        section = section or JudgeSection(teacher=ready_made.name)
        return RunJudge(lambda: ready_made, section)
    check_judged(section, behaviors)
    assert section is not None, "check_judged rejects a missing judge"
    return RunJudge(lambda: load_teacher(section.teacher, student=student, **section.options), section)


def check_judged(section: JudgeSection | None, behaviors: Sequence[Behavior], bonus: Mapping[str, float] = {}) -> None:
    """Reject a judge detector without a judge, or with a bonus.

    Raises:
        ConfigError: naming the behavior and what to change.
    """
    for behavior in behaviors:
        if not behavior.needs_judge:
            continue
        if section is None:
            raise ConfigError(
                f"the detector of the behavior {behavior.name!r} needs a judge, but the config has none; add a section such "
                f"as '{EXAMPLE}', with any teacher of docs/choose-a-teacher.md and its options"
            )
        if bonus.get(behavior.name):
            raise ConfigError(
                f"reward.bonus.{behavior.name} is {bonus[behavior.name]:g}, but the detector of "
                f"{behavior.name!r} uses a judge, which is for probes only: remove the bonus"
            )


def check_config(config: Experiment, behaviors: Sequence[Behavior], ready_made: Any = None) -> None:
    """``check_judged`` for an experiment.

    Raises:
        ConfigError: as that.
    """
    section = config.judge or (JudgeSection(teacher="ready-made") if ready_made is not None else None)
    check_judged(section, behaviors, config.reward.bonus)


def check_lines(config: Experiment, at: Callable[[tuple], str]) -> None:
    """``check_config`` while reading a file: the error names the line of the behavior. For ``load_config``.

    Raises:
        ConfigError: as ``check_config``.
    """
    for k, section in enumerate(config.behaviors):
        try:
            check_config(config, [load_behavior(section.name)])
        except BehaviorError:  # building the run reports errors inside the file
            continue
        except ConfigError as error:
            raise ConfigError(f"{at(('behaviors', k))}: {error}") from None
