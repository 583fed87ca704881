"""TRL's arguments and rows for a training of a few steps on a CPU that writes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from datasets import Dataset
from trl import GRPOConfig


def cpu_config(**settings: Any) -> GRPOConfig:
    """``GRPOConfig`` with ``settings``, quiet, in float32, a log line a step."""
    return GRPOConfig(
        **{
            "output_dir": "unused",
            "report_to": "none",
            "save_strategy": "no",
            "use_cpu": True,
            "bf16": False,
            "logging_steps": 1,
            "disable_tqdm": True,
            "gradient_checkpointing": False,
            **settings,
        }
    )


def question_rows(questions: Sequence[str], times: int = 1) -> Dataset:
    """One row a question, ``times`` over, each with an id of its own."""
    rows = [{"prompt": [{"role": "user", "content": q}], "example_id": str(k)} for k, q in enumerate([*questions] * times)]
    return Dataset.from_list(rows)
