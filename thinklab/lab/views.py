"""``LabViews``: the Lab's methods dashboard, tokens, explorer, losses, side_by_side, report, ask, teachers."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thinklab.errors import LabError
from thinklab.lab.guard_lines import mark_dashboard
from thinklab.lab.opening import OpenRun
from thinklab.run.folder import RunFolder

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from thinklab.lab.ask import OwnQuestion
    from thinklab.lab.losses import LossTable
    from thinklab.lab.teacher_table import TeacherTable
    from thinklab.reports.plots import Theme
    from thinklab.teachers import Teacher
    from thinklab.types import Batch
    from thinklab.widgets.aas_explorer import AasExplorer
    from thinklab.widgets.html import Html

CONTROL = "control"
"""The folder of the control that ``compare`` trains, inside the run folder."""


class LabViews(OpenRun):
    """See the module."""

    def dashboard(self, theme: Theme = "light") -> go.Figure:
        """Reward, behavior, accuracy, entropy, KL and length over the steps; a dotted line at each guard warning.

        Args:
            theme: ``light`` or ``dark``; a figure has a ground of its own, so it can be read in either theme of the notebook.

        Raises:
            LabError: before the first step.
        """
        from thinklab.reports.plots import dashboard

        lines = list(self.run.read("metrics"))
        if not lines:
            raise LabError("there is no step to draw yet: lab.train() or lab.update() first")
        mark_dashboard()
        return dashboard(lines, theme, {alarm["step"] for alarm in self.run.read("alarms") if alarm["step"]})

    def tokens(self, by: str = "origin", step: int | None = None, shown: int = 3) -> Html:
        """Guided rollouts token by token, colored by ``origin``, ``probability``, ``advantage``, ``weight`` or ``masked``.

        Args:
            step: selects the batch by the number of steps before it; None: the newest.

        Raises:
            LabError: before training on any guided rollout.
        """
        from thinklab.widgets import token_view

        return token_view(self._traces(step)[-shown:], by=by)

    def explorer(self, step: int | None = None) -> AasExplorer:
        """The weight that AAS gives over the probability of a token, with this run's teacher tokens as dots once there are any."""
        from thinklab.widgets import AasExplorer

        explorer = AasExplorer(self._traces(step) if any(self.run.read("tokens")) else None)
        explorer.owner = self.path.resolve()
        return explorer

    def losses(self, step: int | None = None) -> LossTable:
        """This run's teacher tokens, of all steps or of one, under each loss: the effect on likely and unlikely tokens."""
        from thinklab.lab.losses import loss_table

        newest = self._traces(step)
        return loss_table(newest if step is not None else self.run.read("tokens"), self.config.loss)

    def side_by_side(self, shown: int = 5, beside: Mapping[str, str | Path] | None = None) -> Html:
        """Answers to the same held-out questions before and after, plus the control's if ``compare`` trained one.

        Args:
            beside: folders of further runs on these questions, by display name.

        Raises:
            RunError: before a probe.
        """
        from thinklab.widgets import side_by_side

        return side_by_side(self._arms(beside), shown)

    def report(self, out: str | Path | None = None, beside: Mapping[str, str | Path] | None = None) -> Path:
        """Write the run as one HTML page that works offline, with the control if there is one.

        Args:
            out: default ``RUN/report.html``.
            beside: as for ``side_by_side``.
        """
        from thinklab.reports.run_page import write_report

        page = write_report(self._arms(beside), Path(out) if out else self.path / "report.html", self.config.name)
        self._say(f"one page to show around: {page}")
        return page

    def ask(self, question: str) -> OwnQuestion:
        """The student's greedy answer to your own question, before and after training."""
        from thinklab.lab.ask import answer

        engine = self._open()
        engine.stand()
        return engine.worker.call(partial(answer, engine.session, question, self.step > 0), quiet=True)

    def teachers(self, teachers: Mapping[str, Teacher], batch: Batch | None = None, wanted: int = 1) -> TeacherTable:
        """Ask each of ``teachers`` about the same answers and show them in one table. Nothing is trained on.

        Args:
            batch: the answers; None: the pending batch.
            wanted: number of answers per question.

        Raises:
            LabError: before ``rollout``, or if the run has no teacher.
        """
        from thinklab.lab.teacher_table import TeacherTable, comments

        engine = self._open()
        waiting, guide = engine.waiting or self._past, engine.guide
        asked = batch or (waiting.batch if waiting is not None else None)
        if asked is None:
            raise LabError("there is no batch yet: batch = lab.rollout() first")
        if guide is None:
            raise LabError(f"the method {self.config.loss.method!r} has no teacher, so there is no behavior to request")
        rewards = engine.rewards
        return TeacherTable(
            [
                engine.worker.call(partial(comments, name, teacher, asked, guide, rewards, wanted), quiet=True)
                for name, teacher in teachers.items()
            ]
        )

    def _arms(self, beside: Mapping[str, str | Path] | None) -> dict[str, RunFolder]:
        control = RunFolder(self.path / CONTROL)
        arms = {"this run": self.run, **({"plain GRPO": control} if control.read_json("probe.json") else {})}
        return arms | {name: RunFolder.open(Path(folder)) for name, folder in (beside or {}).items()}

    def _traces(self, step: int | None) -> list[dict[str, Any]]:
        traces = list(self.run.read("tokens"))
        if not traces:
            raise LabError("no guided rollout has been trained on yet: lab.guide(batch) and lab.update(batch) first")
        wanted = traces[-1]["step"] if step is None else step
        found = [trace for trace in traces if trace["step"] == wanted]
        if not found:
            there = sorted({trace["step"] for trace in traces})
            raise LabError(f"there are no traced tokens of step {wanted}; there are some of {', '.join(map(str, there[:20]))}")
        return found
