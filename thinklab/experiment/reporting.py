"""``train.report_to``: figures and a table of guided rollouts to W&B, Trackio, TensorBoard, or MLflow.

The callbacks are transformers': each sends every figure that is logged. What the guards measure joins those figures, and
``GuidedTable`` adds a few guided rollouts of each generation. The records in the run folder stay the complete ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from transformers import Trainer, TrainerCallback
from transformers.integrations.integration_utils import MLflowCallback, TensorBoardCallback, TrackioCallback, WandbCallback

from thinklab.config.experiment import Experiment
from thinklab.errors import ConfigError
from thinklab.types import Batch, Rollout

CALLBACKS = {
    "wandb": WandbCallback,
    "trackio": TrackioCallback,
    "tensorboard": TensorBoardCallback,
    "mlflow": MLflowCallback,
}
COLUMNS = ("step", "question", "answer", "guidance", "edited", "advantage", "right before", "right after")
TABLE, SHOWN = "guided_rollouts", 4
"""Name of the table, and rollouts of each generation that it shows."""


def check_installed(config: Experiment) -> None:
    """
    Raises:
        ConfigError: when ``train.report_to`` names a service whose package is not installed.
    """
    for name in config.train.report_to:
        if find_spec(name) is None:
            raise ConfigError(
                f"train.report_to names {name}, which is not installed: pip install {name}, or take {name} out of train.report_to"
            )


def arguments(config: Experiment) -> dict[str, Any]:
    """For TRL's arguments. Nothing leaves this machine but to the services that ``train.report_to`` names."""
    return {
        "report_to": list(config.train.report_to) or "none",
        "run_name": config.name,
        "project": "thinklab",
        "trackio_space_id": None,
        "trackio_static_space_id": False,
    }


def report(trainer: Trainer, config: Experiment, folder: Path) -> GuidedTable | None:
    """Move the services' callbacks behind all others, so that they see what those add, and put the table behind them.

    Args:
        folder: the run's; TensorBoard's files go into its ``tensorboard``.

    Returns:
        The table, which wants every ``Batch``; None where nothing is reported.
    """
    if not config.train.report_to:
        return None
    services: dict[str, TrainerCallback] = {}
    for name in config.train.report_to:
        found = trainer.pop_callback(CALLBACKS[name])
        assert found is not None, "the trainer has a callback for each name in report_to"
        if name == "tensorboard":
            found.logging_dir = str(folder / "tensorboard")  # type: ignore[attr-defined]  # it is a TensorBoardCallback
        services[name] = found
        trainer.add_callback(found)
    table = GuidedTable(services)
    trainer.add_callback(table)
    return table


class GuidedTable(TrainerCallback):
    """A few guided rollouts of each generation, in whatever form a service has for tables.

    Args:
        services: transformers' callbacks by name, as they are in the trainer.
    """

    def __init__(self, services: dict[str, TrainerCallback]):
        self.services = services
        self.rows: list[list[Any]] = []

    def add(self, batch: Batch) -> None:
        """Note what is shown of a scored batch; it is sent with the next line of metrics."""
        self.rows += [_row(batch.step, r) for r in batch.guided[:SHOWN]]

    def on_log(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if not self.rows or not state.is_world_process_zero:
            return
        rows, self.rows = self.rows, []
        for name, service in self.services.items():
            SENDERS[name](service, rows, state.global_step)


def _row(step: int, r: Rollout) -> list[Any]:
    said = r.guidance
    return [
        step,
        r.example.question,
        r.student_text,
        "" if said is None else said.edited or said.text,
        said is not None and said.edited is not None,
        None if r.advantage is None else round(r.advantage, 4),
        r.checks.get("student_correct"),
        r.checks.get("correct"),
    ]


def _tensorboard(service: Any, rows: Sequence[Sequence[Any]], step: int) -> None:
    def cell(value: Any) -> str:
        return str(value).replace("|", "\\|").replace("\n", "<br>")

    lines = [" | ".join(COLUMNS), " | ".join("---" for _ in COLUMNS), *(" | ".join(map(cell, row)) for row in rows)]
    service.tb_writer.add_text(TABLE, "\n".join(f"| {line} |" for line in lines), step)


def _wandb(service: Any, rows: Sequence[Sequence[Any]], step: int) -> None:
    service._wandb.log({TABLE: service._wandb.Table(columns=list(COLUMNS), data=[list(row) for row in rows])})


def _trackio(service: Any, rows: Sequence[Sequence[Any]], step: int) -> None:
    import pandas

    service._trackio.log({TABLE: service._trackio.Table(dataframe=pandas.DataFrame(rows, columns=list(COLUMNS)))})


def _mlflow(service: Any, rows: Sequence[Sequence[Any]], step: int) -> None:
    columns = {name: [row[k] for row in rows] for k, name in enumerate(COLUMNS)}
    service._ml_flow.log_table(data=columns, artifact_file=f"{TABLE}.json")


SENDERS = {"tensorboard": _tensorboard, "wandb": _wandb, "trackio": _trackio, "mlflow": _mlflow}
