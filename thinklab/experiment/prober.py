"""``Prober``: asks the student of a session the held-out questions; reach, spill-over, and retention on it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from itertools import islice
from typing import Any

from thinklab.behavior.behavior import Behavior
from thinklab.config.experiment import Experiment
from thinklab.experiment.questions import TaskData, answer_limit
from thinklab.experiment.run_judge import RunJudge
from thinklab.probing import probe, reach, spill_over
from thinklab.probing.retention import Retention, base_model
from thinklab.run.folder import RunFolder
from thinklab.students.base import Student
from thinklab.types import Example, rollout_from_json


@dataclass(frozen=True)
class Prober:
    """The parts of a run that a measurement needs. The answers and texts behind every figure are saved in the run folder."""

    config: Experiment
    run: RunFolder
    student: Student
    data: TaskData
    behaviors: list[Behavior]
    judge: RunJudge | None
    say: Callable[[str], None]
    _told_of: set[int] = field(init=False, default_factory=set)
    """Requested numbers of questions that exceed the held-out ones and were reported."""

    def held_out(self, wanted: int) -> list[Example]:
        """The first ``wanted`` held-out questions; warns once if there are fewer."""
        there = len(self.data.held_out)
        if wanted > there and wanted not in self._told_of:
            self._told_of.add(wanted)
            self.say(
                f"WARNING: {wanted} questions were requested for the probe, but the task {self.data.task.name!r} has only {there} "
                f"held out: {there} are measured, and the intervals are for {there}"
            )
        return self.data.held_out[:wanted]

    def sample(self, decoding: str, questions: int | None = None, samples: int = 1) -> list[probe.ProbeSample]:
        """``samples`` answers to each held-out question."""
        c = self.config
        found = probe.sample(
            self.student,
            self.data.task,
            self.behaviors,
            self.held_out(questions or c.probe.questions),
            decoding,
            answer_limit(c),
            c.probe.seed,
            c.train.sample_rows or 256,
            n=samples,
        )
        self.say_undecided()
        return found

    def say_undecided(self) -> None:
        """Report how many texts got no verdict since the last call; nothing if none."""
        if self.judge is not None and (complaint := self.judge.complaint()):
            self.say(complaint)

    def full(self, stage: str, questions: int | None = None, samples: int | None = None) -> dict[str, Any]:
        """Both decodings over the held-out questions; every answer goes to ``probe_samples.jsonl`` replacing the last probe's.

        Args:
            stage: ``before`` or ``after`` training.
            questions, samples: None: as in the config.
        """
        lines = [line for line in self.run.read("probe_samples") if line["stage"] != stage]
        results = {}
        for decoding in probe.DECODINGS:
            found = self.sample(decoding, questions, samples or self.config.probe.samples)
            lines += [{"stage": stage, **asdict(s)} for s in found]
            results[decoding] = probe.summarize(found).to_json()
        self.run.rewrite("probe_samples", lines)
        return results

    def asked(self, questions: int | None = None) -> dict[str, int]:
        """For ``probe.json``: ``{"wanted": requested held-out questions, "measured": how many there were}``."""
        wanted = questions or self.config.probe.questions
        return {"wanted": wanted, "measured": min(wanted, len(self.data.held_out))}

    def is_known(self, known: dict[str, Any], questions: int | None, samples: int | None) -> bool:
        """True if the student before training was measured on the number of answers and questions requested now."""
        if "before" not in known:
            return False
        there, wanted = known["before"]["T=1"], samples or self.config.probe.samples
        answers = self.asked(questions)["measured"] * wanted
        totals = [there["accuracy"]["total"], *(rate["total"] for rate in there["behaviors"].values())]
        return there.get("samples", 1) == wanted and all(
            total == answers for total in totals
        )  # fewer: a judge gave no verdict then

    def spill(self, base: bool = False) -> tuple[dict[str, Any], list[dict]]:
        """Rates of the behaviors on unrelated prompts, and the texts behind them.

        Args:
            base: measure with the adapter off.
        """
        return spill_over.measure(self.student, self.behaviors, max_new_tokens=answer_limit(self.config), base=base)

    def write_spill(self, before: list[dict], after: list[dict]) -> None:
        """Every text behind the rates of spill-over, into ``spill.jsonl``."""
        self.run.rewrite("spill", [{"stage": s, **t} for s, texts in (("before", before), ("after", after)) for t in texts])

    def reach(self, texts: int = reach.MEASURED) -> dict[str, Any] | None:
        """Reach of this run's first guidance under its base; None if nothing was guided."""
        guided = (r for line in self.run.read("rollouts") if line.get("teacher_ids") for r in (rollout_from_json(line),))
        rollouts = list(islice(guided, texts))
        if not rollouts:
            return None
        t = self.config.train
        found = reach.measure(self.student, rollouts, self.config.loss)
        drawn = t.steps // t.span * t.questions * t.samples
        return {**found.to_json(), "advice": reach.advice(found, self.config.loss, drawn)}

    def elsewhere(self) -> dict[str, Any]:
        """Reach, spill-over, and retention of the current student, if its adapter can be switched off; otherwise ``{}``."""
        if base_model(self.student) is None:
            return {}
        found = {}
        if unknown := self.reach():
            found["reach"] = unknown
        if self.behaviors:
            (before, texts_before), (after, texts_after) = self.spill(base=True), self.spill()
            found["spill"] = {"before": before, "after": after}
            self.write_spill(texts_before, texts_after)
            self.say_undecided()
        return {**found, "retention": kept(Retention.of(self.student))}


def kept(retention: Retention) -> dict[str, Any]:
    """For ``probe.json``: the KL to the base on neutral texts, and how many texts there are."""
    return {"kl": retention.estimate().to_json(), "texts": len(retention.ids)}
