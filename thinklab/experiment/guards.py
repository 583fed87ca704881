"""``Watch``: the rules from metrics to an ``Alarm`` with cause and remedy: KL, entropy, accuracy, length, caps, no effect.

Three kinds of alarm. *Collapse*: the student is being destroyed (KL to its base on neutral text, entropy, answers that no
longer end, accuracy). *Cap*: more guidance or longer answers than the config allows. *No effect*: the run continues but
nothing changes (all rewards equal, no guidance accepted, loss exactly 0, weights that do not move, a chat template that adds
nothing).

``Watch`` is a pure function of the lines of ``metrics.jsonl`` and ``probes.jsonl``: given the lines of an old run, it raises
the same alarms; that is also how a resumed run restores its state. Acting on an alarm (save and
stop, or lower the learning rate) is done in ``guard_actions``.

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

from thinklab.batch_metrics import function_parts
from thinklab.config.experiment import GuardSection
from thinklab.probing.stats import Rate

SETTLE = 3
"""The first steps are the baseline and raise no alarm about entropy: warm-up barely moves the weights there."""
WINDOW = 5
GROWTH = 1.5
"""A pace counts only while KL grows by this factor between measurements, because a collapse accelerates. Of the 20 healthy runs
in docs/measurements/six-losses.md the pace alone flagged 9 as unhealthy, with this factor 2. The trade-off: of 15 runs whose
accuracy halved, one is flagged in that step instead of 7 steps earlier (docs/measurements/guards.md)."""


@dataclass(frozen=True)
class Alarm:
    """One warning about a run."""

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
    """Reads one line per step and raises each alarm once, until its sign disappears and returns."""

    limits: GuardSection
    method: str = "aas"
    learning_rate: float = 1e-3
    questions: int = 12
    """Questions per step, which determine the noise of the accuracy on rollouts: with 12 questions, healthy plain GRPO varies by .2."""
    active: set[str] = field(default_factory=set)
    """Signs present at the last line."""
    _lines: deque = field(default_factory=lambda: deque(maxlen=2 * WINDOW))
    _entropy: list[float] = field(default_factory=list)
    _length: list[float] = field(default_factory=list)
    _last_kl: tuple[int, float] | None = None
    _best_accuracy: float = 0.0
    _best_held_out: Mapping[str, float] | None = None
    _runs: dict[str, int] = field(default_factory=dict)
    """Number of consecutive steps of each no-effect sign."""

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
                    f"{rate['value']:.2f}, and their 95 % intervals do not overlap",
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
                self._alarm(step, "kl", f"KL to the base on neutral text is {kl:.3f} nats per token (limit {self.limits.kl:g})")
            )
        elif kl is not None and (before := self._last_kl) is not None:
            pace = (kl - before[1]) / max(1, step - before[0])
            if kl + self.limits.kl_horizon * pace > self.limits.kl and kl > GROWTH * before[1]:
                found.append(
                    self._alarm(
                        step,
                        "kl-pace",
                        f"KL to the base on neutral text rises by {pace:.1e} nats per token in each step (now "
                        f"{kl:.1e}): at this rate it exceeds {self.limits.kl:g} within {self.limits.kl_horizon} steps",
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
                        f"{entropy / max(usual, 1e-9):.1f} times the initial value",
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
                    f"only {line['finished']:.0%} of the answers end with EOS, compared with "
                    f"{fmean(ended[-WINDOW:]):.0%} in the steps before",
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
        """The likely cause of a collapse, given this run's config and metrics."""
        line = self._lines[-1] if self._lines else {}
        if self.method == "authors":
            return (
                "the loss 'authors': with c = -c_max the weight of a teacher token diverges near pi = c_max, and masked "
                "tokens still get a negative gradient",
                "use loss.method=aas, where c has the sign of the advantage and masked means no gradient",
            )
        if self.method == "sft" and line.get("guided_fraction", 0) > 0:
            return (
                "pure imitation of the guided texts: nothing preserves the student's earlier abilities",
                "use fewer steps or a lower train.learning_rate, or loss.method=aas",
            )
        if line.get("guidance/accuracy_after", 1.0) < line.get("guidance/accuracy_before", 0.0):
            return (
                "the teacher turns right answers wrong",
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
                    "guidance.gamma is high: the student hardly learns from its own answers, whose advantages are relative to "
                    "the guided ones",
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
                        f"answers have {length:.0f} tokens on average, {length / usual:.1f} times their initial length",
                        "the student continues after its answer, or repeats itself",
                        "read the last lines of rollouts.jsonl; lower train.max_completion_tokens, or end guidance earlier "
                        "(guidance.schedule)",
                    )
                )
            self._length.append(length)
        return found

    # ---- no effect

    def _silent(self, line: Mapping[str, Any]) -> list[Alarm]:
        k, step, found = self.limits.patience, line["step"], []

        def lasting(sign: str, there: bool) -> bool:
            self._runs[sign] = self._runs.get(sign, 0) + 1 if there else 0
            return self._runs[sign] >= k

        if self.method == "sft":  # imitation needs no reward; it has no effect without guided rollouts
            equal, idle = False, line.get("guided_fraction") == 0.0
        else:  # older runs without this metric have the share of advantages that are exactly 0
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
    if functions := function_parts([line]):
        return (
            f"the reward functions ({', '.join(functions)}) and the verifier give all answers to a question the same reward",
            "read the field 'rewards' in some lines of rollouts.jsonl; let a function grade answers, not only pass or fail them",
        )
    right = line.get("own/accuracy", 0.0)
    if right > 0.95:
        return (
            "the student answers all of these questions correctly: there is nothing left to learn from them",
            "stop here, or use harder questions",
        )
    if line.get("finished", 1.0) < 0.5:
        return (
            "most answers are truncated, and an unfinished answer earns no reward",
            "raise train.max_completion_tokens, or set reward.require_finished=false",
        )
    if right < 0.05:
        return (
            "no answer is right: the questions are too hard, or the verifier cannot parse the answers (no \\boxed{})",
            "read some lines of rollouts.jsonl; use easier questions, or specify the answer format in the task's instruction",
        )
    return (
        "each question is either always right or always wrong",
        "raise train.samples, or use questions of medium difficulty",
    )


def _why_unguided(line: Mapping[str, Any]) -> tuple[str, str]:
    reasons = {key.removeprefix("rejected/"): value for key, value in line.items() if key.startswith("rejected/")}
    if reasons:
        reason = max(reasons, key=reasons.__getitem__)
        fix = {
            "does-not-fit": "raise guidance.max_tokens",
            "prompt-too-long": "lower teacher.max_tokens, so that prompt and reply fit into the teacher's positions",
            "mute": "the teacher does not reply; check its rule or prompt",
            "cap": "a cost cap was reached; raise it or end the run",
            "constraint": "run `thinklab behaviors test` on the behavior's file",
        }.get(reason, "read the field 'guidance' in rollouts.jsonl, which contains the replies verbatim")
        return f"every reply was rejected, mostly as {reason!r}", fix
    if line.get("finished", 1.0) < 0.2:
        return ("no answer ends with EOS, and only finished answers are guided", "raise train.max_completion_tokens")
    return ("no rollout was eligible", "check guidance.gamma against train.samples, and guidance.skip_if_shown")
