"""``Teaching``: guide, teacher, and judge of a run together: cost estimates, totals, why they end it early."""

from __future__ import annotations

from dataclasses import dataclass

from thinklab.behavior.behavior import Behavior
from thinklab.config.experiment import Experiment
from thinklab.experiment.questions import TaskData, answer_limit
from thinklab.experiment.run_judge import RunJudge
from thinklab.guide.guide import Guide
from thinklab.run.folder import RunFolder
from thinklab.teachers import Teacher, TeacherRequest
from thinklab.teachers.base import should_stop
from thinklab.teachers.money import CostEstimate
from thinklab.teachers.protocols import Estimates, KeepsAccount


@dataclass(frozen=True)
class Teaching:
    """The behaviors of a run, their teacher, the guide that splices, and the judge of behaviors that need one."""

    behaviors: list[Behavior]
    teacher: Teacher | None
    """None if the method needs none."""
    guide: Guide | None
    judge: RunJudge | None
    """Answers for judge detectors; None if no behavior has one."""

    @property
    def stopped(self) -> str:
        """Why the teacher or the judge ended the run early; empty if neither did."""
        return (
            (self.guide.failed if self.guide is not None else "")
            or should_stop(self.teacher)
            or (self.judge.stopped if self.judge is not None else "")
        )

    def write_totals(self, run: RunFolder) -> None:
        """Write the teacher's cost so far to ``teacher.json``: a cap covers all parts of a run."""
        if isinstance(self.teacher, KeepsAccount):
            run.write_json("teacher.json", self.teacher.totals())

    def estimate(self, config: Experiment, data: TaskData, done: int) -> CostEstimate | None:
        """The maximum cost of the teacher over the rest of a run; None for a free one.

        Args:
            done: completed optimizer steps.
        """
        if not isinstance(self.teacher, Estimates):
            return None
        calls, behavior, t = teacher_calls(config, done), self.behaviors[0], config.train
        answer = "word " * t.max_completion_tokens
        sample = [
            TeacherRequest(
                id=e.id, messages=tuple(behavior.messages(e.question, answer)), example=e, response=answer, behavior=behavior.name
            )
            for e in data.train[:8]
        ]
        return self.teacher.estimate(sample, calls)

    def estimate_judge(self, config: Experiment, data: TaskData) -> str:
        """The maximum cost of the judge over the whole run; empty for a free one."""
        if self.judge is None:
            return ""
        p, t, held = config.probe, config.train, len(data.held_out)
        texts = 2 * min(p.questions, held) * (p.samples + 1)  # before and after, at T=1 and greedily
        texts += (t.steps // p.every + 1) * min(p.every_questions, held) if p.every else 0
        if config.judge is not None and config.judge.rollouts:  # the student's own text, and the guided one
            texts += 2 * t.questions * t.samples * (t.steps // t.span)
        limit = answer_limit(config)
        return "; ".join(said for b in self.behaviors if b.needs_judge and (said := self.judge.estimate(b, texts, limit)))


def teacher_calls(config: Experiment, done: int = 0) -> int:
    """The most replies that the rest of a run asks its teacher for.

    Args:
        done: completed optimizer steps.
    """
    t, schedule = config.train, config.guidance.whole_schedule()
    calls = 0
    if config.loss.method != "grpo":
        calls = sum(schedule.count(step, t.samples) for step in range(done, t.steps, t.span)) * t.questions
    if config.imitates_guided and not done:  # one text per question
        calls += config.prime.questions if config.prime is not None else -(-t.steps // t.span) * t.questions
    return calls
