"""``lab.ask``: your own question, answered by the student before and after training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape

from thinklab.experiment.questions import answer_limit
from thinklab.experiment.session import Session
from thinklab.lab.results import box, table
from thinklab.probing import probe
from thinklab.teachers.resident import adapter_off, as_found
from thinklab.types import Example


@dataclass(frozen=True)
class OwnQuestion:
    """Greedy answers to one question."""

    question: str
    now: str
    before: str | None
    """The base's answer; None if there is no adapter to switch off, or nothing was trained yet."""
    shows: Mapping[str, bool | None]
    """The behaviors in the current answer."""

    def rows(self) -> list[tuple[str, str]]:
        return [*([("before training", self.before)] if self.before is not None else []), ("now", self.now)]

    def __repr__(self) -> str:
        width = max(len(name) for name, _ in self.rows())
        return "\n".join([self.question, *(f"  {name.ljust(width)}  {text}" for name, text in self.rows())])

    def _repr_html_(self) -> str:
        shown = ", ".join(name for name, yes in self.shows.items() if yes)
        said = [f"<p>Behaviors shown: {escape(shown)}.</p>"] if shown else []
        return box(f"<p><b>{escape(self.question)}</b></p>", table((), self.rows(), text=(1,)), *said)


def answer(session: Session, question: str, trained: bool) -> OwnQuestion:
    """Ask the student.

    Args:
        trained: at least one step was done, so that its base may answer differently.
    """
    model, limit = session.student.model, answer_limit(session.config)
    example = [Example("a question of your own", question, "0")]

    def greedy() -> probe.ProbeSample:
        return probe.sample(session.student, session.data.task, session.teaching.behaviors, example, "greedy", limit)[0]

    now, before = greedy(), None
    if trained and hasattr(model, "peft_config"):
        with as_found(model), adapter_off(model):
            before = greedy().text
    return OwnQuestion(question, now.text, before, now.behaviors)
