"""``Guide``: selects rollouts, asks the teacher, parses replies (``parse_reply``, ``Rejected``), checks, splices.

A rollout whose guidance is rejected stays exactly as sampled; the reason is recorded with
it. Nothing here depends on the time or on global random state: the same seed, step and rollouts give the same guidance.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import Literal

from transformers import PreTrainedTokenizerBase

from thinklab.behavior.behavior import Behavior
from thinklab.config.schedule import Schedule
from thinklab.errors import ConfigError, TeacherError
from thinklab.guide.splice_ids import continuation_ids, control_ids, lost
from thinklab.teachers.base import cap_reached, should_stop, submit
from thinklab.teachers.protocols import AnswersLater, Teacher, check_teacher
from thinklab.types import Example, Guidance, Rollout, TeacherReply, TeacherRequest

REJECT_REASONS = {
    "missing-tag": "a tag is missing or not closed",
    "repeated-tag": "a tag occurs more than once",
    "outside-text": "there is text outside the tags, or the tags are in the wrong order",
    "empty-field": "a tag is empty",
    "bad-opinion": "the opinion is neither 'correct' nor 'incorrect'",
    "too-long": "the reply is longer than the limit",
    "control-tokens": "it contains control tokens or control characters",
    "constraint": "it violates a constraint of the behavior",
    "not-shown": "the detector does not find the behavior in the answer with the guidance appended",
    "lossy": "the student's tokenizer cannot represent all of it",
    "does-not-fit": "it has more tokens than allowed",
    "review": "a person or a policy rejected it",
}
TAGS = ("opinion", "reason", "phrase")
REPLY_TAGS = (("opinion", ("correct", "incorrect")), ("reason", ()), ("phrase", ()))
"""The same with their values, for a service with structured outputs."""
_REPLY = re.compile(r"\s*" + r"\s*".join(rf"<{tag}>(?P<{tag}>.*?)</{tag}>" for tag in TAGS) + r"\s*", re.DOTALL)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
MAX_REPLY_CHARACTERS = 20_000


class Rejected(ValueError):
    """An unusable reply. ``reason`` is a key of ``REJECT_REASONS``."""

    def __init__(self, reason: str, detail: str = ""):
        super().__init__(detail or REJECT_REASONS[reason])
        self.reason = reason


def parse_reply(text: str, control_tokens: Sequence[str] = ()) -> tuple[dict[str, str], bool]:
    """The fields of a reply, and the verdict (True = the teacher considers the answer correct).

    The reply must be exactly ``<opinion>correct|incorrect</opinion><reason>…</reason><phrase>…</phrase>``, each tag once and
    not empty, with only white space around them.

    Raises:
        Rejected: naming the first rule that the reply violates.
    """
    if len(text) > MAX_REPLY_CHARACTERS:
        raise Rejected("too-long", f"{len(text)} characters; at most {MAX_REPLY_CHARACTERS}")
    for token in control_tokens:
        if token in text:
            raise Rejected("control-tokens", f"the reply contains {token!r}")
    if bad := _CONTROL.search(text):
        raise Rejected("control-tokens", f"the reply contains the character {bad.group()!r}")
    for tag in TAGS:
        opened, closed = text.count(f"<{tag}>"), text.count(f"</{tag}>")
        if opened == 0 or closed == 0:
            raise Rejected("missing-tag", f"<{tag}> or </{tag}> is missing")
        if opened > 1 or closed > 1:
            raise Rejected("repeated-tag", f"<{tag}> occurs {max(opened, closed)} times")
    match = _REPLY.fullmatch(text)
    if match is None:
        raise Rejected("outside-text")
    fields = {tag: match[tag].strip() for tag in TAGS}
    for tag, value in fields.items():
        if not value:
            raise Rejected("empty-field", f"<{tag}> is empty")
    opinion = fields["opinion"].lower().rstrip(".")
    if opinion not in ("correct", "incorrect"):
        raise Rejected("bad-opinion", f"the opinion is {fields['opinion'][:60]!r}")
    return fields, opinion == "correct"


def encode_as_text(tokenizer: PreTrainedTokenizerBase, text: str, before: Sequence[int] = ()) -> list[int]:
    """Token ids of ``text`` as a continuation of ``before``; a spelled-out control token is encoded as letters.

    Raises:
        Rejected: ``control-tokens``, or ``lossy`` if the ids do not decode to the text.
    """
    ids = continuation_ids(tokenizer, text)
    if control_ids(tokenizer) & set(ids):
        raise Rejected("control-tokens", "the tokenizer turns part of it into a control token")
    if what := lost(tokenizer, text, before):
        raise Rejected("lossy", f"the student's tokenizer cannot represent {what}")
    return ids


def refuse_bad(behavior: Behavior, text: str, response: str) -> None:
    """The behavior's own rules about guidance ``text`` after ``response``.

    Raises:
        Rejected: ``constraint``, or ``not-shown`` where the detector does not find the behavior in the spliced text.
    """
    if broken := behavior.check_text(text):
        raise Rejected("constraint", broken)
    if missing := behavior.check_shown(text, response):
        raise Rejected("not-shown", missing)


def request_for(id: str, example: Example, response: str, behavior: Behavior) -> TeacherRequest:
    """The teacher request for ``behavior`` about ``response``."""
    messages = tuple(behavior.messages(example.question, response))
    return TeacherRequest(id, messages, example, response, behavior.name, behavior.hash, reply_tags=REPLY_TAGS)


def as_guidance(
    reply: TeacherReply,
    behavior: Behavior,
    response: str,
    control_tokens: Sequence[str] = (),
    encode: Callable[[str], object] = lambda text: None,
) -> Guidance:
    """A reply about ``response``, strictly parsed: ``proposed``, or ``rejected`` with the reason.

    Args:
        control_tokens: the student's special tokens, which no reply may contain.
        encode: turns the guidance into token ids of the student, or raises ``Rejected``; omitted if there is no student.
    """
    guidance = Guidance(
        rollout_id=reply.id,
        behavior=behavior.name,
        behavior_hash=behavior.hash,
        status="proposed",
        raw=reply.text,
        model=reply.model,
        usage=reply.usage,
        latency_s=reply.latency_s,
        attempts=reply.attempts,
        cache_hit=reply.cache_hit,
    )
    if reply.error:
        return replace(guidance, status="rejected", reason=reply.error, detail=reply.detail)
    try:
        fields, verdict = parse_reply(reply.text, control_tokens)
        guidance = replace(guidance, fields=fields, verdict=verdict, text=behavior.splice(fields))
        refuse_bad(behavior, guidance.text, response)
        encode(guidance.text)
    except Rejected as why:
        return replace(guidance, status="rejected", reason=why.reason, detail=str(why))
    return guidance


def select(
    rollouts: Sequence[Rollout], count: int, policy: str, rng: random.Random, eligible: Callable[[Rollout], bool]
) -> list[int]:
    """Positions of at most ``count`` finished, eligible rollouts of one group, drawn without replacement.

    ``random`` draws uniformly; ``wrong_first`` prefers those whose own answer was wrong.
    """
    able = [k for k, r in enumerate(rollouts) if r.finished and eligible(r)]
    rng.shuffle(able)
    if policy == "wrong_first":
        able.sort(key=lambda k: rollouts[k].checks.get("student_correct", False))
    return sorted(able[:count])


@dataclass
class Guide:
    """All of stage 2 as one callable for the trainer, or step by step: ``propose`` and ``splice``."""

    teacher: Teacher
    behaviors: Sequence[tuple[Behavior, float]]
    """Behaviors with their weights; each guided rollout draws one."""
    tokenizer: PreTrainedTokenizerBase
    schedule: Schedule = Schedule()
    policy: Literal["random", "wrong_first"] = "random"
    max_tokens: int = 256
    """Maximum tokens of guidance, including separator and EOS. Longer guidance is rejected, never truncated."""
    skip_if_shown: bool = True
    """Do not guide a rollout that already shows the behavior."""
    check: Callable[[Rollout], bool] | None = None
    """Whether the student's own answer is right; for ``wrong_first`` and for the accuracy of the teacher's verdicts."""
    review: Callable[[Rollout, Guidance], Guidance] | None = None
    """Decides about each proposed guidance; None accepts all."""
    meanwhile: Callable[[Sequence[Rollout]], object] | None = None
    """Called with the unguided rollouts while a network teacher answers."""
    seed: int = 0
    failed: str = ""
    """Why the teacher failed permanently; the run then saves and ends."""
    counts: Counter[str] = field(default_factory=Counter)
    """Every outcome since the start: ``accepted``, ``edited`` and each reason for rejection; plus ``guided-but-not-shown``:
    how many were spliced although the detector does not find the behavior in the whole text."""
    _started: list[tuple[list[TeacherRequest], Future[list[TeacherReply]]]] = field(default_factory=list, repr=False)

    def __post_init__(self) -> None:
        if self.teacher is not None:  # without one it still splices and checks
            check_teacher(self.teacher, "teacher=")

    def gamma(self, step: int) -> float:
        return self.schedule.value(step)

    @property
    def cap_reached(self) -> str:
        """The teacher's cap that blocked a call; empty if none has."""
        return cap_reached(self.teacher)

    @property
    def should_stop(self) -> str:
        """Why the teacher wants the run to be saved and stopped; empty while it may continue."""
        return should_stop(self.teacher)

    def check_vocabulary(self) -> str:
        """Checks at the start of a run whether the student's tokenizer can represent the guidance in the few-shots.

        Returns:
            What is lost: such guidance will be rejected as ``lossy``. Empty if nothing is lost.

        Raises:
            ConfigError: when none of a behavior's few-shots, or not the words that it requires, can be written.
        """
        warnings = []
        for behavior, _ in self.behaviors:
            shots = behavior.spec.teacher.few_shots
            texts = [behavior.few_shot_text(s)[len(behavior._text(s.response)) :] for s in shots]
            found = {k: what for k, text in enumerate(texts) if (what := lost(self.tokenizer, text))}
            words = [what for part in behavior.spec.guidance.must_contain if (what := lost(self.tokenizer, part))]
            if words or len(found) == len(texts):
                raise ConfigError(
                    f"the student's tokenizer cannot represent the guidance of the behavior {behavior.name!r}: "
                    f"it loses {[*words, *found.values()][0]}. All guidance would be rejected; use a student whose vocabulary "
                    "contains these characters (or has byte fallback), or write the behavior without them"
                )
            if found:
                warnings.append(
                    f"the student's tokenizer cannot represent {len(found)} of {len(texts)} few-shots of the behavior "
                    f"{behavior.name!r}: it loses {', '.join(dict.fromkeys(found.values()))}; such guidance will "
                    "be rejected as lossy"
                )
        return "; ".join(warnings)

    def __call__(self, rollouts: Sequence[Rollout], step: int, generation: int) -> list[Rollout]:
        """Guide some of ``rollouts`` (whole groups, side by side); all others come back unchanged."""
        rollouts = self.draw(rollouts, generation)
        if self.policy == "wrong_first":  # otherwise the check can wait until the requests are sent
            rollouts = self.checked(rollouts)
        proposed = self.propose(rollouts, step, generation)
        rollouts = self.checked(rollouts)
        if self.review is not None:
            proposed = {
                r.id: self.review(r, proposed[r.id]) if proposed[r.id].usable else proposed[r.id]
                for r in rollouts
                if r.id in proposed
            }
        return self.splice(rollouts, proposed)

    def _drawn(self, group: Sequence[Rollout], generation: int) -> tuple[random.Random, list[Behavior]]:
        """The group's random generator, and the behavior that each of its rollouts draws from the mixture."""
        rng = random.Random(f"guide {self.seed} {generation} {group[0].group}")
        return rng, rng.choices([b for b, _ in self.behaviors], [w for _, w in self.behaviors], k=len(group))

    def draw(self, rollouts: Sequence[Rollout], generation: int) -> list[Rollout]:
        """The rollouts, each with the behavior that it draws by weight and the hash of its template. ``propose`` requests that
        behavior for the chosen rollouts; the draw is deterministic."""
        drawn = {r.id: b for group in _groups(rollouts) for r, b in zip(group, self._drawn(group, generation)[1], strict=True)}
        return [replace(r, behavior=drawn[r.id].name, behavior_hash=drawn[r.id].hash) for r in rollouts]

    def begin(self, rollouts: Sequence[Rollout], step: int, generation: int) -> None:
        """Ask about whole groups that are already sampled, while the others are still being sampled.

        The choice depends only on the group, so asking early changes no record. A teacher without ``submit`` runs on this
        machine's processor, like sampling, and is asked later.
        """
        if self.failed or not isinstance(self.teacher, AnswersLater):
            return
        if self.policy == "wrong_first":
            rollouts = self.checked(rollouts)
        if requests := [self.request(r, b) for r, b in self.choose(rollouts, step, generation)]:
            self._started.append((requests, submit(self.teacher, requests)))

    def propose(self, rollouts: Sequence[Rollout], step: int, generation: int) -> dict[str, Guidance]:
        """Guidance by rollout id, for the chosen rollouts only; includes rejected guidance."""
        chosen = self.choose(rollouts, step, generation)
        waiting, self._started = self._started, []
        if not chosen or self.failed:
            return {}
        requests = [self.request(r, b) for r, b in chosen]
        early = [request for started, _ in waiting for request in started]
        if late := [r for r in requests if r not in early]:
            waiting.append((late, submit(self.teacher, late)))
        replies: dict[str, TeacherReply] = {}
        try:
            asked = {r.id for r in requests}
            if self.meanwhile is not None:
                self.meanwhile([r for r in rollouts if r.id not in asked])
            self.checked(rollouts)  # cached by the verifier
            for started, future in waiting:
                replies |= {request.id: reply for request, reply in zip(started, future.result(), strict=True)}
        except TeacherError as error:  # it will never answer again: the samples are kept, and the run can end cleanly
            self.failed = str(error)
        finally:
            for _, future in waiting:  # an interrupt or an error: the rest will not be read
                future.cancel()
        return {
            r.id: self.parse(r, b, replies.get(r.id) or TeacherReply(r.id, error="teacher-failed", detail=self.failed))
            for r, b in chosen
        }

    def checked(self, rollouts: Sequence[Rollout]) -> list[Rollout]:
        """The rollouts, each with whether the student's own answer is right; unchanged if unknown."""
        if self.check is None:
            return list(rollouts)
        return [
            r if "student_correct" in r.checks else replace(r, checks={**r.checks, "student_correct": self.check(r)})
            for r in rollouts
        ]

    def choose(self, rollouts: Sequence[Rollout], step: int, generation: int) -> list[tuple[Rollout, Behavior]]:
        """The rollouts to guide at this step, each with the behavior that it drew."""
        chosen: list[tuple[Rollout, Behavior]] = []
        for group in _groups(rollouts):
            rng, drawn = self._drawn(group, generation)
            count = self.schedule.count(step, len(group))
            wanted = dict(zip((r.id for r in group), drawn, strict=True))
            shown = self._shown(group, wanted) if count and self.skip_if_shown else set()
            places = select(group, count, self.policy, rng, _not_among(shown))
            chosen += [(group[k], wanted[group[k].id]) for k in places]
        return chosen

    @staticmethod
    def _shown(group: Sequence[Rollout], wanted: Mapping[str, Behavior]) -> set[str]:
        """Ids of the finished rollouts whose own text shows their behavior."""
        by_behavior: dict[str, list[Rollout]] = {}
        for r in group:
            if r.finished:
                by_behavior.setdefault(wanted[r.id].name, []).append(r)
        return {
            r.id
            for rollouts in by_behavior.values()
            for r, found in zip(rollouts, wanted[rollouts[0].id].detect_all([r.student_text for r in rollouts]), strict=True)
            if found
        }

    @staticmethod
    def request(rollout: Rollout, behavior: Behavior) -> TeacherRequest:
        """The teacher request about one rollout."""
        return request_for(rollout.id, rollout.example, rollout.student_text, behavior)

    def parse(self, rollout: Rollout, behavior: Behavior, reply: TeacherReply) -> Guidance:
        """A reply as guidance: ``proposed`` if it can be spliced, else ``rejected`` with the reason."""
        return as_guidance(
            replace(reply, id=rollout.id),
            behavior,
            rollout.student_text,
            self.tokenizer.all_special_tokens,
            lambda text: self.encode(behavior.separator, text, rollout),
        )

    def encode(self, separator: str, text: str, rollout: Rollout) -> tuple[int, ...]:
        """(G,) ids of separator, text and the EOS that the student had sampled.

        Raises:
            Rejected: if there are more than ``max_tokens`` of them, or the tokenizer cannot represent the text.
        """
        before = (*rollout.prompt_ids, *rollout.student_ids[:-1])
        ids = [*encode_as_text(self.tokenizer, separator + text, before), rollout.student_ids[-1]]
        if len(ids) > self.max_tokens:
            raise Rejected("does-not-fit", f"{len(ids)} tokens; at most {self.max_tokens}")
        return tuple(ids)

    def splice(self, rollouts: Sequence[Rollout], guidance: Mapping[str, Guidance]) -> list[Rollout]:
        """The rollouts with all usable guidance appended to their ids, in the same order.

        A guided one carries in ``checks["guidance_shown"]`` whether its text shows the behavior that was taught: a person, or
        ``must_show: false``, may splice text in which the detector does not find it. The key is missing if it takes a judge.
        """
        behaviors = {b.name: b for b, _ in self.behaviors}
        out = []
        for rollout in rollouts:
            item = guidance.get(rollout.id)
            if item is None:
                out.append(rollout)
                continue
            spliced = rollout
            if item.usable:
                behavior = behaviors[item.behavior]
                separator = behavior.separator
                try:
                    ids = self.encode(separator, item.final_text, rollout)
                    status = "accepted" if item.status == "proposed" else item.status
                    item = replace(item, status=status)
                    text = rollout.student_text + separator + item.final_text
                    shown = behavior.shown_in(text)
                    checks = rollout.checks if shown is None else {**rollout.checks, "guidance_shown": shown}
                    spliced = replace(rollout, teacher_ids=ids, text=text, checks=checks)
                    if shown is False:
                        self.counts["guided-but-not-shown"] += 1
                except Rejected as why:  # an edited text may be too long even if the teacher's was not
                    item = replace(item, status="rejected", reason=why.reason, detail=str(why))
            self.counts[item.status if item.usable else item.reason] += 1
            out.append(replace(spliced, guidance=item, behavior=item.behavior, behavior_hash=item.behavior_hash))
        return out


def _not_among(ids: set[str]) -> Callable[[Rollout], bool]:
    return lambda rollout: rollout.id not in ids


def _groups(rollouts: Sequence[Rollout]) -> list[list[Rollout]]:
    groups: dict[int, list[Rollout]] = {}
    for rollout in rollouts:
        groups.setdefault(rollout.group, []).append(rollout)
    return list(groups.values())
