"""Guards: watch a run's own figures and say early, and in words, when it is going wrong.

Three kinds of alarm. *Collapse*: the student is being destroyed (KL to its base on neutral text, entropy, answers that no
longer end, accuracy). *Cap*: more guidance or longer answers than the config allows. *Silent nothing*: the run goes on and
nothing happens (all rewards equal, no guidance accepted, loss exactly 0, weights that do not move, a chat template that adds
nothing).

``Watch`` is a pure function of the lines of ``metrics.jsonl`` and ``probes.jsonl``: feed it the lines of an old run and it
says what it would have said then; that is also how a resumed run gets its memory back. Acting on an alarm (save and
stop, or lower the learning rate) is ``guard_callback``'s business.

Where the limits come from: of the embedded student's runs, healthy ones stayed below a KL of 0.003 nats a token for all of
60 steps and rose by at most 0.00016 a step; at ten times the learning rate it rose by 0.0005 in step 4, one step before
accuracy fell, and reached 4 in step 10. A large model may need other limits, so they are in the config.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import fmean, median
from typing import Any, Literal

from thinklab.config.experiment import GuardSection
from thinklab.probing.stats import Rate

SETTLE = 3
"""The first steps are the baseline and raise no alarm about entropy: warm-up barely moves the weights there."""
WINDOW = 5
GROWTH = 1.5
"""A pace counts only while KL grows by this factor from one measurement to the next: a collapse runs away. Of the 20 healthy runs
in docs/measurements/six-losses.md the pace alone called 9 sick, with this factor 2. The price: of 15 runs whose accuracy halved
one is called in that very step and not 7 steps before (docs/measurements/guards.md)."""


@dataclass(frozen=True)
class Alarm:
    """One thing that is going wrong."""

    step: int
    kind: Literal["collapse", "cap", "silent"]
    sign: str
    """A slug: ``kl``, ``kl-pace``, ``entropy``, ``unfinished``, ``accuracy``, ``held-out``; ``guided``, ``length``;
    ``equal-rewards``, ``no-guidance``, ``zero-loss``, ``frozen``, ``chat-template``."""
    seen: str
    """What was measured."""
    cause: str
    """The likely cause."""
    mend: str

    def __str__(self) -> str:
        return f"step {self.step}: {self.seen}. Likely cause: {self.cause}. What to do: {self.mend}"


@dataclass
class Watch:
    """Reads one line per step and raises each alarm once, until its sign has gone away and come back."""

    limits: GuardSection
    method: str = "aas"
    learning_rate: float = 1e-3
    questions: int = 12
    """Questions a step, from which the noise of accuracy on rollouts is known: plain GRPO on 12 swings by .2 without any harm."""
    active: set[str] = field(default_factory=set)
    """Signs that were there at the last line."""
    _lines: deque = field(default_factory=lambda: deque(maxlen=2 * WINDOW))
    _entropy: list[float] = field(default_factory=list)
    _length: list[float] = field(default_factory=list)
    _last_kl: tuple[int, float] | None = None
    _best_accuracy: float = 0.0
    _best_held_out: Mapping[str, float] | None = None
    _runs: dict[str, int] = field(default_factory=dict)
    """How many steps in a row each silent sign has been there."""

    def see(self, line: Mapping[str, Any]) -> list[Alarm]:
        """Alarms of one line of ``metrics.jsonl``, new ones only."""
        self._lines.append(line)
        found = [*self._collapse(line), *self._caps(line), *self._silent(line)]
        unmeasured = () if line.get("neutral_kl") is not None else ("kl", "kl-pace")
        return self._fresh(found, ("held-out", *unmeasured))

    def see_probe(self, line: Mapping[str, Any]) -> list[Alarm]:
        """Alarms of one line of ``probes.jsonl``: accuracy on held-out questions, clearly below its best."""
        rate, best, found = line["accuracy"], self._best_held_out, []
        if best is None or rate["value"] >= best["value"]:
            self._best_held_out = rate
        elif best["value"] - rate["value"] > self.limits.accuracy_drop and rate["high"] < best["low"]:
            found.append(
                self._alarm(
                    line["step"],
                    "held-out",
                    f"accuracy on held-out questions fell from {best['value']:.2f} to "
                    f"{rate['value']:.2f}, and their 95 % intervals lie apart",
                )
            )
        others = {s for s in self.active if s != "held-out"}
        return self._fresh(found, tuple(others))

    def _fresh(self, found: list[Alarm], keep: tuple[str, ...]) -> list[Alarm]:
        fresh = [a for a in found if a.sign not in self.active]
        self.active = {a.sign for a in found} | (self.active & set(keep))
        return fresh

    # ---- collapse

    def _collapse(self, line: Mapping[str, Any]) -> list[Alarm]:
        step, found = line["step"], []
        if (kl := line.get("neutral_kl")) is not None and kl > self.limits.kl:
            found.append(
                self._alarm(step, "kl", f"KL to the base on neutral text is {kl:.3f} nats a token (limit {self.limits.kl:g})")
            )
        elif kl is not None and (before := self._last_kl) is not None:
            pace = (kl - before[1]) / max(1, step - before[0])
            if kl + self.limits.kl_horizon * pace > self.limits.kl and kl > GROWTH * before[1]:
                found.append(
                    self._alarm(
                        step,
                        "kl-pace",
                        f"KL to the base on neutral text rises by {pace:.1e} nats a token each step (now "
                        f"{kl:.1e}): at this pace it passes {self.limits.kl:g} within {self.limits.kl_horizon} steps",
                    )
                )
        if kl is not None:
            self._last_kl = (step, kl)
        entropy = line.get("student/entropy")
        if entropy is not None:
            usual = median(self._entropy[:SETTLE]) if len(self._entropy) >= SETTLE else None
            if usual is not None and entropy > self.limits.entropy_factor * max(usual, 0.05):
                found.append(
                    self._alarm(
                        step,
                        "entropy",
                        f"the entropy of the student's own tokens is {entropy:.2f} nats, "
                        f"{entropy / max(usual, 1e-9):.1f} times what it was at the start",
                    )
                )
            self._entropy.append(entropy)
        ended = [x["finished"] for x in list(self._lines)[:-1] if "finished" in x]
        if (
            len(ended) >= SETTLE
            and "finished" in line
            and fmean(ended[-WINDOW:]) - line["finished"] > self.limits.unfinished_rise
        ):
            found.append(
                self._alarm(
                    step,
                    "unfinished",
                    f"only {line['finished']:.0%} of the answers end by themselves, "
                    f"{fmean(ended[-WINDOW:]):.0%} did in the steps before",
                )
            )
        recent = [x["own/accuracy"] for x in list(self._lines)[-WINDOW:] if "own/accuracy" in x]
        if len(recent) == WINDOW:
            now = fmean(recent)
            total = WINDOW * self.questions
            seen, best = (Rate(round(x * total), total) for x in (now, self._best_accuracy))
            if self._best_accuracy - now > self.limits.accuracy_drop and seen.high < best.low:
                found.append(
                    self._alarm(
                        step,
                        "accuracy",
                        f"accuracy on unguided rollouts fell from {self._best_accuracy:.2f} to {now:.2f} "
                        f"(means of {WINDOW} steps, 95 % intervals apart)",
                    )
                )
            self._best_accuracy = max(self._best_accuracy, now)
        return found

    def _alarm(self, step: int, sign: str, seen: str) -> Alarm:
        return Alarm(step, "collapse", sign, seen, *self._why())

    def _why(self) -> tuple[str, str]:
        """The likely cause of a collapse, from what is known about this run."""
        line = self._lines[-1] if self._lines else {}
        if self.method == "authors":
            return (
                "the loss 'authors': with c = -c_max the weight of a teacher token blows up near pi = c_max, and masked tokens "
                "are "
                "pushed down all the same",
                "use loss.method=aas, where c has the sign of the advantage and masked means no gradient",
            )
        if self.method == "sft" and line.get("guided_fraction", 0) > 0:
            return (
                "imitation of the guided texts alone: nothing rewards what the student could do before",
                "use fewer steps or a lower train.learning_rate, or loss.method=aas",
            )
        if line.get("guidance/accuracy_after", 1.0) < line.get("guidance/accuracy_before", 0.0):
            return (
                "the teacher makes right answers wrong",
                "read the last guided rollouts; lower guidance.gamma or change the teacher",
            )
        if line.get("finished", 1.0) < 0.5:
            return (
                f"updates too large for this student (train.learning_rate={self.learning_rate:g}): its answers no longer end",
                "start a new run with a third of the learning rate, or set guards.action=lower; every checkpoint so far is kept",
            )
        return (
            f"updates too large for this student (train.learning_rate={self.learning_rate:g})",
            "start a new run with a third of the learning rate, or set guards.action=lower; fewer guided rollouts "
            "(guidance.gamma) help as well",
        )

    # ---- caps

    def _caps(self, line: Mapping[str, Any]) -> list[Alarm]:
        step, found = line["step"], []
        share, cap = line.get("guided_fraction", 0.0), self.limits.guided_share
        if share > cap:
            found.append(
                Alarm(
                    step,
                    "cap",
                    "guided",
                    f"{share:.0%} of the rollouts were guided, more than guards.guided_share={cap:g}",
                    "guidance.gamma is high: the student hardly learns from its own answers, and their advantages are taken "
                    "against the teacher's",
                    "lower guidance.gamma, or let it fade out with guidance.schedule",
                )
            )
        length = line.get("completions/mean_length")
        if length is not None:
            usual = median(self._length[:SETTLE]) if len(self._length) >= SETTLE else None
            if usual and length > self.limits.length_factor * usual:
                found.append(
                    Alarm(
                        step,
                        "cap",
                        "length",
                        f"answers have {length:.0f} tokens on average, {length / usual:.1f} times what they had at the start",
                        "the student goes on after it has answered, or repeats itself",
                        "read the last lines of rollouts.jsonl; lower train.max_completion_tokens, or end guidance earlier "
                        "(guidance.schedule)",
                    )
                )
            self._length.append(length)
        return found

    # ---- silent nothing

    def _silent(self, line: Mapping[str, Any]) -> list[Alarm]:
        k, step, found = self.limits.patience, line["step"], []

        def lasting(sign: str, there: bool) -> bool:
            self._runs[sign] = self._runs.get(sign, 0) + 1 if there else 0
            return self._runs[sign] >= k

        if self.method == "sft":  # imitation asks for no reward; it has nothing to do where nobody was guided
            equal, idle = False, line.get("guided_fraction") == 0.0
        else:  # runs of before this figure was recorded have the share of advantages that are exactly 0
            equal = idle = line.get("equal_rewards_fraction", line.get("zero_advantage_fraction")) == 1.0
        if lasting("equal-rewards", equal):
            found.append(
                Alarm(
                    step,
                    "silent",
                    "equal-rewards",
                    f"all answers to each question earned the same reward for {k} steps, so nothing was learned",
                    *_why_equal(line),
                )
            )
        nothing = line.get("gamma", 0) > 0 and line.get("guided_fraction") == 0.0 and line.get("own/behavior", 0.0) < 0.9
        if lasting("no-guidance", nothing):
            found.append(Alarm(step, "silent", "no-guidance", f"no guidance was accepted for {k} steps", *_why_unguided(line)))
        if lasting("zero-loss", line.get("loss") == 0.0 and not idle):
            found.append(
                Alarm(
                    step,
                    "silent",
                    "zero-loss",
                    f"the loss was exactly 0 for {k} steps although rewards differ",
                    "every token that has an advantage is masked or clipped away",
                    "look at teacher/masked and clip_ratio in metrics.jsonl; lower loss.floor or raise loss.epsilon",
                )
            )
        moving = line.get("weights_changed")
        still = moving is False and not idle and line.get("learning_rate", 0.0) > 0
        if lasting("frozen", still):
            found.append(
                Alarm(
                    step,
                    "silent",
                    "frozen",
                    f"the trained weights did not change for {k} steps although rewards differ",
                    "updates smaller than the weights' precision, or an optimizer that holds other parameters",
                    "keep LoRA weights in float32 (student.dtype=float32) or raise train.learning_rate",
                )
            )
        return found


def _why_equal(line: Mapping[str, Any]) -> tuple[str, str]:
    right = line.get("own/accuracy", 0.0)
    if right > 0.95:
        return (
            "the student answers all of these questions right: there is nothing left to learn from them",
            "stop here, or take harder questions",
        )
    if line.get("finished", 1.0) < 0.5:
        return (
            "most answers are cut off before they end, and an answer that does not end earns nothing",
            "raise train.max_completion_tokens, or set reward.require_finished=false",
        )
    if right < 0.05:
        return (
            "no answer is ever right: the questions are too hard, or the verifier cannot read the answers (no \\boxed{})",
            "read some lines of rollouts.jsonl; take easier questions or say in the task's instruction how to write the answer",
        )
    return (
        "each question is either always right or always wrong",
        "raise train.samples, or take questions of middling difficulty",
    )


def _why_unguided(line: Mapping[str, Any]) -> tuple[str, str]:
    reasons = {key.removeprefix("rejected/"): value for key, value in line.items() if key.startswith("rejected/")}
    if reasons:
        reason = max(reasons, key=reasons.__getitem__)
        mend = {
            "does-not-fit": "raise guidance.max_tokens",
            "prompt-too-long": "lower teacher.max_tokens, so that prompt and reply fit into the teacher's positions",
            "mute": "the teacher has nothing to say; check its rule or prompt",
            "cap": "a cost cap was reached; raise it or end the run",
            "constraint": "run `thinklab behaviors test` on the behavior's file",
        }.get(reason, "read the field 'guidance' in rollouts.jsonl, which holds the replies verbatim")
        return f"every reply was rejected, mostly as {reason!r}", mend
    if line.get("finished", 1.0) < 0.2:
        return ("no answer ends by itself, and only finished answers are guided", "raise train.max_completion_tokens")
    return ("no rollout was eligible", "check guidance.gamma against train.samples, and guidance.skip_if_shown")
